//! Keys, certificates, encryption, archives.

use crate::forms::Form::{
    Args, Auth, Flag, Glued, Keyed, Letters, Plain, Secret, Shift, Sub, Switch, Takes, Two, Words,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    // OpenSSL. `-passin`, `-pass` and similar options have the names of secrets.
    ("openssl", &[
        (Secret, "-k -K -hmac"),
        (Keyed, "-macopt -kdfopt -pkeyopt -sigopt -mac_opt -skeyopt"),
        (Flag, "-twopass -nopass"),
        (Plain, "-secretkeyid -psk_hint -psk_identity -psk_session"),
        (Words, ""),
        (Sub, ""),
    ]),
    ("openssl ca", &[(Secret, "-key"), (Words, "")]),
    ("openssl passwd", &[(Takes, "-salt -in -rand -writerand -provider"), (Args, "secret secret secret"), (Words, "")]),
    ("openssl pkeyutl", &[(Plain, "-secret"), (Words, "")]),
    ("openssl s_time,openssl s_client,openssl s_server", &[(Plain, "-psk_file -key"), (Words, "")]),
    // GnuTLS, NSS.
    ("certtool,p11tool,gnutls-cli,gnutls-serv", &[
        (Flag, "--null-password --password-quiet --ask-pass"),
        (Secret, "--pskkey"),
        (Letters, "pu"),
    ]),
    ("pk12util", &[(Secret, "-W -K"), (Letters, "iodkwncCmhP")]),
    // Java. `-storepass` and similar options have the names of secrets.
    ("keytool,jarsigner", &[
        (Secret, "-new"),
        (Words, ""),
    ]),
    ("osslsigncode", &[
        (Plain, "-readpass"),
        (Words, ""),
    ]),
    // SSH keys.
    ("ssh-keygen", &[
        (Secret, "-N -P"),
        (Letters, "tbfCmOInVszDFRrwYaZJjMESWx"),
    ]),
    // GnuPG and others.
    ("gpg,gpgsm,gpgv,gpgconf", &[(Letters, "uroRN"), (Plain, "--passphrase-repeat")]),
    ("age,rage", &[(Flag, "-p --passphrase"), (Letters, "rRio")]),
    ("ccrypt,ccencrypt,ccdecrypt", &[(Secret, "-K -H --key --key2"), (Letters, "kESs")]),
    ("steghide", &[(Secret, "-p"), (Words, "")]),
    ("cryptsetup", &[
        (Letters, "dcshiStopM"), (Takes, "--key-file"),
        (Plain, "--token-id"),
    ]),
    ("veracrypt,truecrypt,zulucrypt-cli,zuluMount-cli", &[
        (Secret, "-p"),
        (Letters, "kmNdof"), (Takes, "--keyfiles"),
    ]),
    ("dislocker,dislocker-fuse", &[(Glued, "-u -p"), (Letters, "VfkKO")]),
    // Archives and documents.
    ("7z*", &[
        (Glued, "-p"),
        (Switch, "-a -b -c -d -i -m -o -r -s -t -u -v -w -x -y -S -h"),
    ]),
    ("rar,unrar", &[
        (Glued, "-hp -p"),
        (Switch, "-a -c -d -e -f -i -k -l -m -n -o -r -s -t -u -v -w -x -y"),
    ]),
    ("zip,unzip,zipcloak,zipinfo", &[
        (Secret, "-P"),
        (Letters, "bntxiOsdI"),
    ]),
    ("bsdtar,unar", &[
        (Secret, "-p"),
        (Letters, "fCoDe"),
    ]),
    ("qpdf", &[(Two, "--encrypt"), ]),
    ("pdftk,pdftk-java", &[(Secret, "input_pw user_pw owner_pw")]),
    ("pdf*,xpdf", &[
        (Secret, "-upw -opw"),
        (Words, ""),
    ]),
    // Hashes of passwords.
    ("htpasswd,htdbm", &[
        (Shift, "-n"),
        (Letters, "Cr"),
        (Args, "- - secret"),
    ]),
    ("mkpasswd", &[(Letters, "mRSPldcC5"), (Takes, "--method --rounds --salt"), (Args, "secret -")]),
    ("oathtool", &[(Letters, "dwcNSs"), (Takes, "--digits --window --counter"), (Args, "secret")]),
    // Tokens and smart cards.
    ("pkcs11-*,pkcs15-*", &[
        (Secret, "-p"),
        (Letters, "damoiryc"),
    ]),
    ("ykman", &[
        (Secret, "-P -p -n -m --management-key --new-management-key --reset-code"),
        (Letters, "dasSF"), (Takes, "--device"),
        (Sub, ""),
    ]),
    ("ykman oath,ykman otp", &[(Sub, ""), (Secret, "-p -P --access-code")]),
    ("ykman oath accounts", &[(Sub, ""), (Secret, "-p")]),
    ("ykman oath accounts add", &[(Secret, "-p"), (Letters, "odaicP"), (Args, "- secret")]),
    ("yubico-piv-tool", &[(Secret, "-P -N -p -k --key"), (Letters, "saAioSKH")]),
    ("tpm2_*", &[
        (Auth, "-p -P -w --auth --hierarchy-auth --key-auth --parent-auth"),
        (Letters, "cCGgouriLafsSxnqlmk"), (Takes, "--key-context"),
    ]),
    // Stores of secrets.
    ("ansible-vault", &[(Sub, "")]),
    ("ansible-vault encrypt_string", &[(Takes, "-n --name --vault-id --vault-password-file"), (Args, "secret")]),
    ("bw", &[(Secret, "--session"), (Sub, "")]),
    ("bw login", &[(Takes, "--method"), (Secret, "--code"), (Args, "- secret -")]),
    ("bw unlock", &[(Args, "secret")]),
    ("op", &[(Secret, "--session")]),
    ("virsh", &[(Takes, "-c --connect"), (Sub, "")]),
    ("virsh set-user-password", &[(Args, "- - secret"), ]),
];
