//! The page of `report` in a real browser. Without one, the tests are ignored.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::documents::{fixture, run};
use crypto_tracer_tests::{needs_program, output, temp_dir};

crypto_tracer_tests::tests![
    a_browser_sorts_and_filters_the_tables,
    hostile_names_run_nothing_in_a_browser,
    the_page_makes_no_request,
];

/// Opens a page and returns its elements after its script has run. Requests are logged to `log`.
fn open(page: &Path, fragment: &str, log: &Path) -> String {
    let profile = temp_dir();
    let mut browser = Command::new("chromium");
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-default-apps",
        "--disable-extensions",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]);
    // The browser's own requests reach nothing.
    browser.arg("--host-resolver-rules=MAP * ~NOTFOUND");
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.arg(format!("--log-net-log={}", log.display()));
    browser.arg(format!("file://{}#{fragment}", page.display()));
    let shown = output(&mut browser);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("</html>"), "{}", String::from_utf8_lossy(&shown.stderr));
    text
}

/// Writes the page of an inventory into a folder and opens it.
fn page_of(inventory: &str, fragment: &str) -> (String, String) {
    needs_program("chromium");
    let dir = temp_dir();
    let page = dir.path().join("report.html");
    let written = run(&["report", inventory, "-o", page.to_str().unwrap()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let log = dir.path().join("net.json");
    let text = open(&page, fragment, &log);
    (text, fs::read_to_string(log).unwrap())
}

/// The rows of the table in a section: what a row contains, and whether it is hidden.
fn rows(page: &str, section: &str) -> Vec<(String, bool)> {
    let begin = page.find(&format!("<section id=\"{section}\"")).unwrap();
    let rest = &page[begin..];
    let body = rest.find("<tbody>").unwrap();
    let end = rest.find("</tbody>").unwrap();
    let rows = rest[body..end].split("<tr").skip(1);
    rows.map(|row| {
        let (start, content) = row.split_once('>').unwrap();
        (content.to_owned(), start.contains("hidden"))
    })
    .collect()
}

fn a_browser_sorts_and_filters_the_tables() {
    let inventory = fixture("inventories/web2.json");
    let (plain, _) = page_of(&inventory, "");
    let paths = |page: &str| -> Vec<String> {
        let path = |row: &(String, bool)| {
            let begin = row.0.find("<code>").unwrap() + 6;
            row.0[begin..].split('<').next().unwrap().to_owned()
        };
        rows(page, "keys").iter().map(path).collect()
    };
    assert!(paths(&plain).len() >= 2);
    let (sorted, _) = page_of(&inventory, "sort=keys:0");
    assert!(paths(&sorted).is_sorted(), "{:?}", paths(&sorted));
    assert!(sorted.contains("aria-sort=\"ascending\""));
    let (by_number, _) = page_of(&inventory, "sort=keys:3");
    let counts: Vec<u64> = rows(&by_number, "keys")
        .iter()
        .map(|row| {
            row.0.split("class=\"n\">").nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
        })
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    let (filtered, _) = page_of(&inventory, "filter=haproxy");
    let all = rows(&filtered, "keys");
    assert!(all.iter().any(|row| row.1) && all.iter().any(|row| !row.1));
    assert!(all.iter().all(|(text, hidden)| text.contains("haproxy") != *hidden), "{all:?}");
}

fn hostile_names_run_nothing_in_a_browser() {
    let dir = temp_dir();
    let text = fs::read_to_string(fixture("inventories/web1.json")).unwrap();
    let attack = r#"</script></title><script>document.title='taken'</script><img src=x onerror=document.title='taken'>\u202e\u001b[2J"#;
    let hostile = text.replace("site.key", attack).replace("\"web1\"", &format!("\"{attack}\""));
    assert_ne!(hostile, text);
    // Ids are hashes of the paths.
    let inventory = dir.path().join("hostile.json");
    fs::write(&inventory, hostile).unwrap();
    let (page, _) = page_of(inventory.to_str().unwrap(), "sort=keys:0");
    assert!(page.contains("<title>Crypto in use on &lt;/script&gt;"), "{}", &page[..600]);
    assert!(!page.contains("<img"));
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains('\u{202e}'));
    assert!(page.contains("aria-sort"), "the page's own script has run");
}

/// URLs that a page asked for. Requests of the browser itself have no origin.
fn requests(log: &str) -> Vec<String> {
    let log: Value = serde_json::from_str(log).unwrap();
    let of_page = |event: &&Value| {
        event["params"]["initiator"].as_str().is_some_and(|it| it != "not an origin")
    };
    let events = log["events"].as_array().unwrap().iter().filter(of_page);
    let urls = events.filter_map(|event| event["params"]["url"].as_str());
    urls.filter(|url| !url.starts_with("file:")).map(str::to_owned).collect()
}

fn the_page_makes_no_request() {
    let (_, log) = page_of(&fixture("inventories/web1.json"), "");
    assert_eq!(requests(&log), [""; 0]);
    // A page that makes one is noticed.
    let dir = temp_dir();
    let control = dir.path().join("control.html");
    fs::write(&control, "<img src='http://127.0.0.1:9/x'>").unwrap();
    let log = dir.path().join("net.json");
    open(&control, "", &log);
    let found = requests(&fs::read_to_string(log).unwrap());
    assert!(found.iter().any(|url| url == "http://127.0.0.1:9/x"), "{found:?}");
}
