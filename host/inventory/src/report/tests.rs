use super::*;
use crate::testkit::{add_file, add_library, add_use, empty, web_server};

fn large(uses: u64) -> Inventory {
    let mut inventory = empty("web1", 0, 3600);
    let mut all = Vec::new();
    for target in 0..uses / 10 {
        let path = format!("/etc/ssl/certs/service-{target}.example.pem");
        let number = u8::try_from(target % 250).unwrap_or(0);
        let one = add_file(&mut inventory, &path, "certificate", &[number]);
        all.push(one);
    }
    let template = web_server("x");
    for (number, &target) in all.iter().enumerate() {
        for program in 0..10 {
            let exe = format!("/opt/service/bin/program-{}", (number * 7 + program) % 300);
            let mut it = template.uses[0].clone();
            it.program = crypto_tracer_output::document::inventory::Id::program(Some(&exe), "");
            it.target = target;
            inventory.uses.push(it);
            if number < 300 && program == 0 {
                let mut one = template.programs[0].clone();
                let exe = format!("/opt/service/bin/program-{number}");
                one.id = crypto_tracer_output::document::inventory::Id::program(Some(&exe), "");
                one.name = format!("program-{number}");
                one.exe = Some(exe);
                inventory.programs.push(one);
            }
        }
    }
    inventory.sort();
    inventory
}

#[test]
fn ten_thousand_uses_fit_into_two_megabytes() {
    // The other extreme: each certificate and key has one user.
    let mut many = empty("web1", 0, 3600);
    for number in 0..3_334 {
        let template = web_server("x");
        let exe = format!("/usr/lib/service/bin/service-{number}");
        let id = crypto_tracer_output::document::inventory::Id::program(Some(&exe), "");
        let mut program = template.programs[0].clone();
        (program.id, program.name, program.exe) = (id, format!("service-{number}"), Some(exe));
        many.programs.push(program);
        let [certificate, key] = ["certs", "private"].map(|folder| {
            let path = format!("/etc/ssl/{folder}/service{number}.pem");
            let own = (folder == "certs").then(|| {
                let mut own = template.files[0].certificates.first().cloned();
                own = own.or(template.files[1].certificates.first().cloned());
                let mut own = (*own.unwrap()).clone();
                own.sha256 = format!("{number:064x}");
                std::sync::Arc::new(own)
            });
            let mut file = template.files[0].clone();
            file.id = crypto_tracer_output::document::inventory::Id::file(&path);
            file.path = path;
            file.r#type = if folder == "certs" { "certificate" } else { "private_key" }.to_owned();
            file.certificates = own.into_iter().collect();
            many.files.push(file.clone());
            file.id
        });
        for target in [certificate, key, template.libraries[0].id] {
            let mut it = template.uses[0].clone();
            (it.program, it.target) = (id, target);
            many.uses.push(it);
        }
    }
    many.libraries = web_server("x").libraries;
    many.sort();
    let page = report(&many, None);
    assert!(page.len() < 2_000_000, "{} of {} uses", page.len(), many.uses.len());
    let inventory = large(10_000);
    assert_eq!(inventory.uses.len(), 10_000);
    let page = report(&inventory, None);
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn hostile_names_stay_text() {
    let mut inventory = web_server("</title><script>alert(1)</script>");
    let names = [
        "/etc/</script><script>alert(2)</script>.key",
        "/etc/\u{202e}yek.exe",
        "/etc/\u{1b}[2J\"'><img src=x onerror=alert(3)>.key",
    ];
    for name in names {
        let key = add_file(&mut inventory, name, "private_key", &[]);
        add_use(&mut inventory, "/usr/bin/<b>evil</b>", key, 1, 1);
    }
    let page = report(&inventory, None);
    assert_eq!(page.matches("<script>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<img") && !page.contains("<b>evil"));
    assert!(!page.contains(['\u{202e}', '\u{1b}']));
    assert!(page.contains(r"\u{202e}yek.exe"));
    assert!(page.contains("&lt;/script&gt;"));
}

/// Nothing in the page is loaded from elsewhere, and only this script may run.
#[test]
fn the_policy_allows_only_the_page_itself() {
    let page = report(&web_server("web1"), None);
    assert!(page.contains("default-src 'none'; style-src 'sha256-"));
    for forbidden in
        ["src=", "@import", "url(", "http://", "https://", "unsafe-inline", " style=", " onclick"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn every_view_is_there_and_coverage_is_first() {
    let mut inventory = web_server("web1");
    inventory.coverage.blind_spots = vec!["opens by io_uring are not seen".to_owned()];
    inventory.coverage.judge();
    add_library(&mut inventory, "/usr/lib/libssl.so.1.1", Some("1.1.1w"));
    let page = report(&inventory, None);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    let order = [
        "id=\"coverage\"",
        "id=\"stale\"",
        "id=\"certificates\"",
        "id=\"keys\"",
        "id=\"libraries\"",
        "id=\"programs\"",
    ];
    assert!(order.map(at).is_sorted());
    assert!(page.contains("Not complete.") && page.contains("opens by io_uring"));
    assert!(page.contains("CN=site1.example") && page.contains("/etc/ssl/private/site.key"));
    assert!(page.contains("OpenSSL: none"), "1.1.1 has no post-quantum algorithm");
    assert!(page.contains(">replaced<"), "a stale use");
}
