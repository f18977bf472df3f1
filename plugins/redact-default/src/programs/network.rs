//! Network clients: the web, mail, remote access, monitoring.

use crate::forms::Form::{
    Args, Authority, Cert, Code, Comma, Command, Cookie, Data, Letters, List, Optional, Pair,
    Percent, Percona, Plain, Second, Secret, Sub, Switch, Takes, Two, Words,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    // The web.
    ("curl", &[
        (Pair, "-u --user -U --proxy-user"),
        (Cert, "-E --cert --proxy-cert"),
        (Cookie, "-b --cookie"),
        (Data, "-d --data --data-ascii --data-binary --data-raw --data-urlencode --json --url-query"),
        (Authority, "-x --proxy --preproxy --socks4 --socks4a --socks5 --socks5-hostname --proxy1.0"),
        (Plain, "--cookie-jar -c --key --proxy-key --pinnedpubkey"),
        (Letters, "ACDeFHhKmoPQrtTwXyYz"),
    ]),
    ("wget,wget2", &[
        (Data, "--post-data --body-data"),
        (Letters, "oaeiBtOTwQPUlARDIX"),
    ]),
    ("http,https,httpie,xh", &[(Pair, "-a --auth"), (Letters, "Ao"), ]),
    ("ab", &[
        (Pair, "-A -P"),
        (Cookie, "-C"),
        (Letters, "nctsbBpuTxXyzgeHmZfEv"),
    ]),
    ("hey", &[(Pair, "-a"), (Data, "-d"), (Letters, "nczmHtTDxqA")]),
    ("grpcurl", &[(Data, "-d"), (Words, "")]),
    ("yt-dlp,youtube-dl,gallery-dl", &[
        (Secret, "-p -2 --twofactor"),
        (Letters, "uofra"),
    ]),
    // Files.
    ("lftp,lftpget,open", &[(Comma, "-u --user"), (Code, "-e -c"), (Letters, "pf")]),
    ("ncftp*", &[
        (Secret, "-p"),
        (Letters, "uPdrtjfJX"),
    ]),
    ("curlftpfs,s3fs,sshfs,mount.davfs,mount.cifs,mount.ceph,mount.glusterfs,mount.nfs,mount.ecryptfs,\
      mount", &[
        (List, "-o --options"),
        (Letters, "tLUOp"),
    ]),
    ("smbclient,smbget,smbc*,smbtree,rpcclient,net,ldbsearch,ldbmodify,wbinfo,winexe,nmblookup", &[
        (Percent, "-U --user --username -a --authenticate -K"),
        (Letters, "AWsIpcDdlmnOTtLiHbSw"),
    ]),
    ("samba-tool", &[(Percent, "-U --username"), (Letters, "HsdWk"), (Sub, "")]),
    ("samba-tool user", &[(Sub, ""), (Percent, "-U")]),
    ("samba-tool user create,samba-tool user add", &[(Percent, "-U --username"), (Args, "- secret")]),
    // Remote access.
    ("ssh,autossh,dbclient", &[
        (Letters, "piloFLRDJcmbBEeIOQSWwPM"),
        (Args, "- code"),
    ]),
    ("sshpass", &[(Secret, "-p"), (Letters, "fdP"), (Switch, "-e"), (Args, "command")]),
    ("plink,pscp,psftp,putty,kitty", &[
        (Secret, "-pw"),
        (Code, "-proxycmd"),
        (Words, ""),
    ]),
    ("mosh", &[(Code, "--ssh --server"), (Takes, "-p --port"), (Args, "- code")]),
    ("rsync", &[
        (Code, "-e --rsh --rsync-path"),
        (Letters, "fTBM"),
    ]),
    ("pssh,parallel-ssh,pdsh,clush,dsh", &[
        (Letters, "hHlpoetwxgufROxXcMm"),
        (Args, "code"),
    ]),
    ("rdesktop", &[
        (Secret, "-p"),
        (Letters, "udscnkgarxtTSXwBioLl"),
    ]),
    ("xfreerdp*,wlfreerdp*,sdl-freerdp*", &[
        (Secret, "-p /p: /pth: /pass-the-hash: /gp: /gat: /password: /pcb: --p /assistance:"),
        (Percona, "/gateway:"),
        (Words, ""),
    ]),
    ("x11vnc", &[(Secret, "-unixpw_cmd"), (Plain, "-rfbauth -passwdfile"), (Words, "")]),
    ("vncviewer,xtigervncviewer,xvncviewer,tigervncviewer", &[
        (Plain, "-passwd -PasswordFile -SecurityTypes"),
        (Words, ""),
    ]),
    ("vncdo,vncdotool,wayvnc", &[(Secret, "-p"), (Letters, "su")]),
    ("evil-winrm,crackmapexec,nxc,netexec,hydra,medusa", &[(Secret, "-p -H"), (Letters, "uidxXMockserlLPCt")]),
    ("secretsdump,psexec,wmiexec,smbexec,GetUserSPNs,GetNPUsers,mssqlclient,impacket-*", &[
        (Secret, "-hashes -aesKey -nthash"),
        (Takes, "-dc-ip -target-ip -port -outputfile -c -codec"),
        (Args, "authority"),
        (Words, ""),
    ]),
    // Tunnels and proxies.
    ("openvpn,openvpn3", &[(Plain, "--auth-user-pass --askpass --secret --tls-auth --tls-crypt --auth-gen-token-secret")]),
    ("openconnect", &[
        (Secret, "-C -p"),
        (Letters, "ugsickF"),
    ]),
    ("openfortivpn", &[(Secret, "-p -o --otp"), (Letters, "uc")]),
    ("ngrok", &[(Pair, "--basic-auth --auth"), (Sub, "")]),
    ("ngrok authtoken", &[(Args, "secret")]),
    ("ngrok config", &[(Sub, "")]),
    ("ngrok config add-authtoken,ngrok config add-api-key", &[(Args, "secret")]),
    ("ss-*,sslocal,ssserver", &[
        (Secret, "-k --key"),
        (Letters, "splmcbtfau"),
    ]),
    ("proxytunnel", &[(Pair, "-P -R --proxyauth --remproxyauth"), (Letters, "pdrHa")]),
    ("mitmproxy,mitmdump,mitmweb", &[(Pair, "--proxyauth --upstream-auth"), (Letters, "pswr")]),
    // Mail and messages.
    ("sendemail", &[(Secret, "-xp"), (Words, "")]),
    ("swaks", &[
        (Optional, "-ap --auth-password -a --auth --auth-user-secret"),
        (Words, ""),
    ]),
    ("irssi,weechat", &[(Secret, "-w"), (Letters, "cpnh")]),
    ("mcrcon,rcon,rcon-cli", &[(Secret, "-p"), (Letters, "HPha")]),
    ("doveadm", &[(Letters, "ocf"), (Sub, "")]),
    ("doveadm pw", &[(Secret, "-p"), (Letters, "srtu")]),
    ("doveadm auth", &[(Sub, "")]),
    ("doveadm auth test,doveadm auth login", &[(Letters, "axAM"), (Args, "- secret")]),
    ("ejabberdctl,prosodyctl,sogo-tool", &[(Sub, "")]),
    ("ejabberdctl register,ejabberdctl change_password,prosodyctl register", &[(Args, "- - secret")]),
    ("curlmail,s-nail,mailx,mail,neomutt,mutt", &[(List, "-S"), (Letters, "sracbeF")]),
    ("steamcmd", &[(Second, "+login")]),
    // Monitoring and management of machines.
    ("snmp*,encode_keychange", &[
        (Secret, "-A -X -c -3m -3M -3k -3K"),
        (Two, "passwd"),
        (Letters, "uaxlneEZOIrtdmMLPCv"),
    ]),
    ("snmpd,snmptrapd", &[(Plain, "-c")]),
    ("check_snmp", &[(Secret, "-C -A -X --community"), (Letters, "HowcPUaxL")]),
    ("check_http,check_tcp,check_curl", &[(Pair, "-a -b --authorization --proxy-authorization"), (Letters, "HIpuwcs")]),
    ("check_mysql,check_pgsql", &[
        (Secret, "-p"),
        (Letters, "HPuldwcqs"),
    ]),
    ("ipmitool", &[
        (Secret, "-P -k -y"),
        (Letters, "HUIpLCtbeomlfORNSdBT"),
        (Sub, ""),
    ]),
    ("ipmitool user", &[(Sub, "")]),
    ("ipmitool user set", &[(Sub, "")]),
    ("ipmitool user set password", &[(Args, "- secret -")]),
    ("ipmitool user test", &[(Args, "- - secret")]),
    ("ipmipower,ipmiconsole,ipmi-*,bmc-*", &[(Secret, "-p -k --k-g"), (Letters, "huDlaITW")]),
    ("racadm", &[(Secret, "-p"), (Letters, "ruigof")]),
    ("upscmd,upsrw", &[(Secret, "-p"), (Letters, "us")]),
    ("xe", &[(Secret, "-pw"), (Words, "")]),
    ("wpa_passphrase", &[(Args, "- secret")]),
    ("wpa_cli", &[(Secret, "psk password sae_password wep_key0 wep_key1 wep_key2 wep_key3 private_key_passwd pin"),
        (Letters, "ipag")]),
    ("iwctl", &[(Secret, "-P"), (Letters, "up")]),
    ("nmcli", &[
        (Secret, "password wifi-sec.psk 802-11-wireless-security.psk wifi-sec.wep-key0 wifi-sec.leap-password 802-11-wireless-security.wep-key0 802-1x.password 802-1x.private-key-password vpn.secrets gsm.password gsm.pin pppoe.password cdma.password wireguard.private-key wep-key macsec.mka-cak"),
    ]),
    ("ssldump", &[(Secret, "-p"), (Letters, "kriw")]),
    ("nmap,ncat", &[(List, "--script-args"), (Pair, "--proxy-auth"), (Code, "-c --sh-exec"), (Command, "-e --exec"),
        (Letters, "poiDSgTsPmx")]),
];
