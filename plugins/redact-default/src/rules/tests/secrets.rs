//! Secrets in command lines.

use super::*;

/// Arguments and their redacted form.
const WITH_SECRETS: &[(&[&str], &str)] = &[
    (
        &["openssl", "rsa", "-in", "/root/k.pem", "-passin", "pass:x"],
        "openssl rsa -in /home/ROOT/k.pem -passin pass:***",
    ),
    (
        &["openssl", "enc", "-k", "hunter2", "-pass", "pass:a b"],
        "openssl enc -k *** -pass pass:***",
    ),
    (
        &["openssl", "s_client", "-key", "k.pem", "-psk", "aabb"],
        "openssl s_client -key k.pem -psk ***",
    ),
    (
        &["openssl", "rsa", "-passin", "env:PW", "-passout", "file:/root/pw"],
        "openssl rsa -passin env:PW -passout file:/home/ROOT/pw",
    ),
    (
        &["tool", "--password", "hunter2", "--out=/home/bob/o"],
        "tool --password *** --out=/home/USER/o",
    ),
    (&["tool", "--password", "-hunter2!"], "tool --password ***"),
    (&["tool", "--password", "--verbose", "x"], "tool --password --verbose x"),
    (&["tool", "--token=abc"], "tool --token=***"),
    (&["tool", "--db-password=a=b c"], "tool --db-password=***"),
    (
        &["tool", "--client-secret", "x", "--api_key", "y", "--apiKey=z"],
        "tool --client-secret *** --api_key *** --apiKey=***",
    ),
    (
        &["keytool", "-storepass", "changeit", "-keypass", "x"],
        "keytool -storepass *** -keypass ***",
    ),
    (
        &["java", "-Djavax.net.ssl.keyStorePassword=changeit"],
        "java -Djavax.net.ssl.keyStorePassword=***",
    ),
    (
        &["env", "DB_PASSWORD=x y", "PWD=/etc", "GITHUB_TOKEN=z"],
        "env DB_PASSWORD=*** PWD=/etc GITHUB_TOKEN=***",
    ),
    (&["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=x"], "docker run -e MYSQL_ROOT_PASSWORD=***"),
    (&["mysql", "-u", "root", "-phunter2", "db"], "mysql -u root -p*** db"),
    (&["mysql", "-p", "db"], "mysql -p db"),
    (&["sudo", "sshpass", "-p", "x", "ssh", "host"], "sudo sshpass -p *** ssh host"),
    (&["ssh", "-p", "2222", "host"], "ssh -p 2222 host"),
    (&["cp", "-pr", "a", "b"], "cp -pr a b"),
    (&["curl", "-u", "me:x", "https://h/"], "curl -u me:*** https://h/"),
    (&["curl", "-H", "Authorization: Bearer x y"], "curl -H Authorization: ***"),
    (&["curl", "-H", "X-Api-Key: x", "-H", "Accept: a"], "curl -H X-Api-Key: *** -H Accept: a"),
    (&["curl", "https://u:p@host/x"], "curl https://u:***@host/x"),
    (&["curl", "https://u:p@ss/w@host/x"], "curl https://u:***@host/x"),
    (&["git", "clone", "https://tokentoken@host/x"], "git clone https://***@host/x"),
    (&["git", "clone", "ssh://git@host/x"], "git clone ssh://git@host/x"),
    (&["curl", "https://h:8443/x?a=b&token=c&d=e"], "curl https://h:8443/x?a=b&token=***&d=e"),
    (&["psql", "host=h password='a b' user=u"], "psql host=h password=*** user=u"),
    (
        &["curl", "-d", "{\"user\":\"u\",\"password\":\"x\"}"],
        "curl -d {\"user\":\"u\",\"password\":***}",
    ),
    (&["curl", "-d", "{\"password\": \"x y\", \"a\": 1}"], "curl -d {\"password\": ***, \"a\": 1}"),
    (
        &["sh", "-c", "mysql -psecret; PASSWORD=x y --token 'a b' c"],
        "sh -c mysql -p***; PASSWORD=*** y --token '***' c",
    ),
    (&["echo", "ghp_0123456789abcdefghij"], "echo ***"),
    (&["echo", "-----BEGIN RSA PRIVATE KEY-----\nMII"], "echo ***"),
    (&["ansible", "--ask-pass", "host"], "ansible --ask-pass host"),
    (&["docker", "login", "--password-stdin", "host"], "docker login --password-stdin host"),
    (&["docker", "run", "-v", "/etc/secret:/mnt/x"], "docker run -v /etc/secret:/mnt/x"),
    (&["openssl", "version"], "openssl version"),
    (&["docker", "run", "-p", "8080:80", "image"], "docker run -p 8080:80 image"),
    (&["docker", "login", "-u", "me", "-p", "x", "host"], "docker login -u me -p *** host"),
    (&["curl", "--user=me:x", "-ume:y", "h"], "curl --user=me:*** -ume:*** h"),
    (&["wget", "-b", "https://h/"], "wget -b https://h/"),
    (&["xfreerdp", "/u:me", "/p:x", "/v:h"], "xfreerdp /u:me /p:*** /v:h"),
    (
        &["nmcli", "dev", "wifi", "connect", "ap", "password", "x"],
        "nmcli dev wifi connect ap password ***",
    ),
    (&["ldapsearch", "-s", "base", "-w", "x"], "ldapsearch -s base -w ***"),
    (
        &["git", "-c", "http.extraHeader=Authorization: Basic dTpw eA", "fetch"],
        "git -c http.extraHeader=Authorization: *** fetch",
    ),
    (
        &["sh", "-c", "curl -H 'Cookie: a=b; c=d' -H \"authorization: Bearer x\" h"],
        "sh -c curl -H 'Cookie: ***' -H \"authorization: ***\" h",
    ),
    (&["curl", "-HAuthorization: Bearer x y"], "curl -HAuthorization: ***"),
    (
        &["sh", "-c", "x 'Cookie: a b' 'Authorization: c d' 'Set-Cookie: e'"],
        "sh -c x 'Cookie: ***' 'Authorization: ***' 'Set-Cookie: ***'",
    ),
];

#[test]
fn secrets_in_command_lines_are_masked() {
    for (given, expected) in WITH_SECRETS {
        assert_eq!(command(given), *expected);
    }
}

#[test]
fn secrets_of_programs_named_in_arguments_are_masked() {
    for (given, expected) in [
        (
            &["git", "clone", "https://alice:s3cret@host/openssl/openssl"][..],
            "git clone https://alice:***@host/openssl/openssl",
        ),
        (
            &["curl", "https://example.com/login", "-u", "alice:s3cret"],
            "curl https://example.com/login -u alice:***",
        ),
        (&["curl", "-o", "net", "-u", "alice:s3cret"], "curl -o net -u alice:***"),
        (&["curl", "-su", "alice:s3cret"], "curl -su alice:***"),
        (&["ssh-keygen", "-N", "s3cret", "-f", "key"], "ssh-keygen -N *** -f key"),
        (&["pkcs11-tool", "--login", "--pin", "s3cret"], "pkcs11-tool --login --pin ***"),
        (&["isql", "Server=x;Uid=y;Pwd=s3cret"], "isql Server=x;Uid=y;Pwd=***"),
        (&["openssl", "x", "pkcs11:id=a;pin-value=s3cret"], "openssl x pkcs11:id=a;pin-value=***"),
        (&["env", "PWD=/srv/x", "OLDPWD=/srv"], "env PWD=/srv/x OLDPWD=/srv"),
    ] {
        assert_eq!(command(given), expected);
    }
}
