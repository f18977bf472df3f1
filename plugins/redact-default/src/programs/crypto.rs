//! Keys, certificates, encryption, archives.

use crate::forms::Form::{
    Args, Auth, Code, Flag, Glued, Keyed, Optional, Plain, Secret, Shift, Sub, Switch, Takes, Two, Words,
};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // OpenSSL. `-passin`, `-pass` and their kind have names that say so.
    ("openssl", &[
        (Secret, "-k -K -hmac -psk -srppass -srp_pass -pwri_password -secretkey -kpass -dpass"),
        (Keyed, "-macopt -kdfopt -pkeyopt -sigopt -mac_opt -skeyopt"),
        (Flag, "-twopass -nopass"),
        (Plain, "-secretkeyid -psk_hint -psk_identity -psk_session"),
        (Takes, "-in -out -key -cert -CAfile -CApath -connect -iv -S -salt -md -aes256 -rand -config"),
        (Words, ""),
        (Sub, ""),
    ]),
    ("openssl ca", &[(Secret, "-key"), (Words, "")]),
    ("openssl passwd", &[(Takes, "-salt -in -rand -writerand -provider"), (Args, "secret secret secret"), (Words, "")]),
    ("openssl pkeyutl", &[(Plain, "-secret"), (Words, "")]),
    ("openssl cmp", &[(Secret, "-secret"), (Words, "")]),
    ("openssl s_time,openssl s_client,openssl s_server", &[(Plain, "-psk_file -key"), (Words, "")]),
    // GnuTLS, NSS.
    ("certtool,p11tool,gnutls-cli,gnutls-serv", &[
        (Flag, "--null-password --password-quiet --ask-pass"),
        (Secret, "--pskkey --srppasswd --password --pin --so-pin --set-pin --set-so-pin"),
        (Takes, "-p -u"),
    ]),
    ("pk12util", &[(Secret, "-W -K"), (Takes, "-i -o -d -k -w -n -c -C -m -h -P")]),
    ("cmsutil", &[(Secret, "-p"), (Takes, "-d -i -o -f -n -r")]),
    ("strsclnt,selfserv,tstclnt", &[(Secret, "-w"), (Takes, "-d -h -p -n -c -f")]),
    // Java. `-storepass` and its kind have names that say so.
    ("keytool,jarsigner", &[
        (Secret, "-new -storepass -keypass -srcstorepass -deststorepass -srckeypass -destkeypass -tsadigest-pass"),
        (Plain, "-storepass:env -storepass:file -keypass:env -keypass:file -srcstorepass:env -srcstorepass:file \
                 -deststorepass:env -deststorepass:file -srckeypass:env -srckeypass:file -destkeypass:env \
                 -destkeypass:file -new:env -new:file"),
        (Words, ""),
    ]),
    ("osslsigncode", &[
        (Plain, "-readpass"),
        (Secret, "-pass"),
        (Words, ""),
    ]),
    ("signtool,signcode,sn", &[(Secret, "/p -p"), (Words, "")]),
    ("apksigner,jsign", &[(Secret, "--ks-pass --key-pass --storepass --keypass")]),
    ("rcodesign", &[(Secret, "--p12-password --ks-pass --key-pass")]),
    // SSH keys.
    ("ssh-keygen", &[
        (Secret, "-N -P"),
        (Takes, "-t -b -f -C -m -O -I -n -V -s -z -D -F -R -r -w -Y -a -Z -J -j -M -E -S -W -x"),
    ]),
    ("puttygen", &[(Plain, "--old-passphrase --new-passphrase"), (Takes, "-t -b -o -O -C")]),
    // GnuPG and others.
    ("gpg,gpgsm,gpgv,gpgconf", &[(Takes, "-u -r -o -R -N"), (Plain, "--passphrase-repeat")]),
    ("gpg-preset-passphrase,gpg-protect-tool", &[(Secret, "-P --passphrase")]),
    ("age,rage", &[(Flag, "-p --passphrase"), (Takes, "-r -R -i -o")]),
    ("ccrypt,ccencrypt,ccdecrypt", &[(Secret, "-K -H --key --key2"), (Takes, "-k -E -S -s")]),
    ("mcrypt", &[(Secret, "-k --key"), (Takes, "-f -a -m -h -s -o -c")]),
    ("aescrypt", &[(Secret, "-p"), (Takes, "-k -o")]),
    ("steghide", &[(Secret, "-p --passphrase"), (Words, "")]),
    ("outguess", &[(Secret, "-k -K"), (Takes, "-d -s -i -x -p")]),
    ("gocryptfs,cryfs", &[(Plain, "-passfile --passfile"), (Code, "-extpass --extpass"), (Secret, "--pass"),
        (Words, "")]),
    ("encfs", &[(Code, "--extpass")]),
    ("cryptsetup", &[
        (Takes, "-d -c -s -h -i -S -t -o -p -M --key-file"),
        (Plain, "--token-id"),
    ]),
    ("veracrypt,truecrypt,zulucrypt-cli,zuluMount-cli", &[
        (Secret, "-p --password --new-password --token-pin"),
        (Takes, "-k -m -N --keyfiles -d -o -f"),
    ]),
    ("dislocker,dislocker-fuse", &[(Glued, "-u -p"), (Takes, "-V -f -k -K -O")]),
    ("bdeinfo,bdemount", &[(Secret, "-p -r -k"), (Takes, "-o -s")]),
    // Archives and documents.
    ("7z,7za,7zr,7zz", &[
        (Glued, "-p"),
        (Switch, "-a -b -c -d -i -m -o -r -s -t -u -v -w -x -y -S -h"),
    ]),
    ("rar,unrar", &[
        (Glued, "-hp -p"),
        (Switch, "-a -c -d -e -f -i -k -l -m -n -o -r -s -t -u -v -w -x -y"),
    ]),
    ("zip,unzip,zipcloak,zipinfo", &[
        (Secret, "-P --password"),
        (Takes, "-b -n -t -x -i -O -s -d -I"),
    ]),
    ("bsdtar,unar", &[
        (Secret, "-p -password --passphrase"),
        (Takes, "-f -C -o -D -e"),
    ]),
    ("arj", &[(Glued, "-g -p")]),
    ("zpaq", &[(Secret, "-key")]),
    ("fcrackzip", &[(Secret, "-p"), (Takes, "-c -l -m")]),
    ("qpdf", &[(Two, "--encrypt"), (Secret, "--password --user-password --owner-password")]),
    ("pdftk,pdftk-java", &[(Secret, "input_pw user_pw owner_pw")]),
    ("pdftotext,pdftoppm,pdftocairo,pdfinfo,pdfimages,pdfunite,pdftohtml,pdfseparate,pdfsig,xpdf", &[
        (Secret, "-upw -opw -nss-pwd"),
        (Words, ""),
    ]),
    ("mutool", &[(Secret, "-p"), (Takes, "-o -r -w -h -F -C")]),
    ("gs", &[(Secret, "-sPDFPassword -sUserPassword -sOwnerPassword"), (Words, "")]),
    ("msoffcrypto-tool", &[(Optional, "-p --password")]),
    ("cpdf", &[(Two, "-encrypt"), (Words, "")]),
    ("pdfcpu", &[(Secret, "-upw -opw"), (Words, "")]),
    // Hashes of passwords.
    ("htpasswd,htdbm", &[
        (Shift, "-n"),
        (Takes, "-C -r"),
        (Args, "- - secret"),
    ]),
    ("mkpasswd", &[(Takes, "-m -R -S -P -l -d -c -C --method --rounds --salt -5"), (Args, "secret -")]),
    ("caddy", &[(Secret, "--plaintext"), (Sub, "")]),
    ("caddy hash-password", &[(Secret, "-p --plaintext")]),
    ("oathtool", &[(Takes, "-d -w -c -N -S -s --digits --window --counter"), (Args, "secret")]),
    ("authenticator", &[(Args, "- secret")]),
    // Tokens and smart cards.
    ("pkcs11-tool,pkcs15-tool,pkcs15-init,pkcs15-crypt", &[
        (Secret, "-p --pin --so-pin --new-pin --puk --so-puk --password"),
        (Takes, "-d -a -m -o -i -r -y -c"),
    ]),
    ("ykman", &[
        (Secret, "-P --pin -p --puk --password -n --new-pin --new-puk --new-password -m --management-key \
                  --new-management-key --new-admin-pin --admin-pin --reset-code"),
        (Takes, "-d --device -a -s -S -F"),
        (Sub, ""),
    ]),
    ("ykman oath,ykman otp", &[(Sub, ""), (Secret, "-p --password -P --access-code")]),
    ("ykman oath accounts", &[(Sub, ""), (Secret, "-p --password")]),
    ("ykman oath accounts add", &[(Secret, "-p --password"), (Takes, "-o -d -a -i -c -P"), (Args, "- secret")]),
    ("ykman otp static,ykman otp chalresp,ykman otp hotp", &[(Args, "- secret")]),
    ("yubico-piv-tool", &[(Secret, "-P -N -p -k --key --pin --new-pin --password"), (Takes, "-s -a -A -i -o -S -K -H")]),
    ("ykpersonalize", &[(Secret, "-a -c"), (Takes, "-o -s -i -N")]),
    ("openpgp-tool,opensc-tool", &[(Secret, "--pin --puk"), (Takes, "-r -c")]),
    ("nitropy", &[(Secret, "--pin")]),
    ("tpm2_unseal,tpm2_create,tpm2_createprimary,tpm2_load,tpm2_sign,tpm2_rsadecrypt,tpm2_nvread,\
      tpm2_nvwrite,tpm2_nvdefine,tpm2_evictcontrol,tpm2_changeauth,tpm2_clear,tpm2_hmac,tpm2_import,\
      tpm2_quote", &[
        (Auth, "-p -P -w --auth --hierarchy-auth --key-auth --parent-auth"),
        (Takes, "-c -C -G -g -o -u -r -i -L -a -f -s -S -x -n -q -l -m -k --key-context"),
    ]),
    ("tpm2", &[(Auth, "-p -P -w"), (Takes, "-c -C -G -g -o -u -r -i -L -a -f -s -S")]),
    // Stores of secrets.
    ("ansible-vault", &[(Sub, "")]),
    ("ansible-vault encrypt_string", &[(Takes, "-n --name --vault-id --vault-password-file"), (Args, "secret")]),
    ("bw", &[(Secret, "--session --apikey --passwordfile-secret"), (Sub, "")]),
    ("bw login", &[(Takes, "--method"), (Secret, "--code"), (Args, "- secret -")]),
    ("bw unlock", &[(Args, "secret")]),
    ("op", &[(Secret, "--session")]),
    ("step", &[(Secret, "--password --ott --provisioner-password"), (Sub, "")]),
    ("security", &[(Secret, "-p -w"), (Takes, "-a -s -l -k")]),
    ("virsh", &[(Takes, "-c --connect"), (Sub, "")]),
    ("virsh secret-set-value", &[(Secret, "--base64"), (Args, "- secret")]),
    ("virsh set-user-password", &[(Args, "- - secret"), (Secret, "--password")]),
];
