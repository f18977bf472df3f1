"use strict";
(() => {
  const tables = [...document.querySelectorAll("table")];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell ? (cell.dataset.v ?? cell.textContent) : "";
  };
  const sort = (table, column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const numeric = head.dataset.kind === "n";
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort((a, b) => {
      const order = numeric ? Number(a[0]) - Number(b[0]) : a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
      return down ? -order : order;
    });
    body.append(...rows.map((row) => row[1]));
  };
  for (const table of tables) {
    const heads = table.tHead.rows[0].cells;
    [...heads].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => sort(table, column, head));
    });
  }
  const filter = document.getElementById("filter");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const table of tables) {
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      const count = table.closest("section").querySelector(".count");
      if (count) count.textContent = words.length ? shown + " of " + table.tBodies[0].rows.length + " shown" : "";
    }
  };
  filter.hidden = false;
  filter.addEventListener("input", apply);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      filter.value = "";
      apply();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== filter) {
      event.preventDefault();
      filter.focus();
    }
  });
  const begin = new URLSearchParams(location.hash.slice(1));
  if (begin.has("filter")) {
    filter.value = begin.get("filter");
    apply();
  }
  if (begin.has("sort")) {
    const [id, column] = begin.get("sort").split(":");
    const table = document.getElementById(id)?.querySelector("table");
    const head = table?.tHead.rows[0].cells[Number(column)];
    if (head) sort(table, Number(column), head);
  }
})();
