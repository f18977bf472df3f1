//! Clients of the network: the web, mail, remote access, monitoring.

use crate::forms::Form::{
    Args, Authority, Cert, Code, Comma, Command, Cookie, Data, List, Optional, Pair, Percent,
    Percona, Plain, Secret, Second, Sub, Switch, Takes, Two, Words,
};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // The web.
    ("curl", &[
        (Pair, "-u --user -U --proxy-user"),
        (Cert, "-E --cert --proxy-cert"),
        (Cookie, "-b --cookie"),
        (Secret, "--pass --proxy-pass --tlspassword --proxy-tlspassword --oauth2-bearer"),
        (Data, "-d --data --data-ascii --data-binary --data-raw --data-urlencode --json --url-query"),
        (Authority, "-x --proxy --preproxy --socks4 --socks4a --socks5 --socks5-hostname --proxy1.0"),
        (Plain, "--cookie-jar -c --key --proxy-key --pinnedpubkey"),
        (Takes, "-A -C -D -e -F -H -h -K -m -o -P -Q -r -t -T -w -X -y -Y -z"),
    ]),
    ("wget,wget2", &[
        (Data, "--post-data --body-data"),
        (Secret, "--password --http-password --ftp-password --proxy-password"),
        (Takes, "-o -a -e -i -B -t -O -T -w -Q -P -U -l -A -R -D -I -X"),
    ]),
    ("http,https,httpie,xh", &[(Pair, "-a --auth"), (Takes, "-A -o"), (Secret, "--cert-key-pass")]),
    ("ab", &[
        (Pair, "-A -P"),
        (Cookie, "-C"),
        (Takes, "-n -c -t -s -b -B -p -u -T -x -X -y -z -g -e -H -m -Z -f -E -v"),
    ]),
    ("hey", &[(Pair, "-a"), (Data, "-d"), (Takes, "-n -c -z -m -H -t -T -D -x -q -A")]),
    ("grpcurl", &[(Data, "-d"), (Words, "")]),
    ("wscat,websocat", &[(Pair, "--auth --basic-auth"), (Secret, "-P --passphrase"), (Takes, "-c -H -s -o")]),
    ("lynx,elinks,w3m,links", &[(Pair, "-auth -pauth -auth:"), (Words, "")]),
    ("yt-dlp,youtube-dl,gallery-dl", &[
        (Secret, "-p --password --video-password --ap-password -2 --twofactor"),
        (Takes, "-u -o -f -r -a"),
    ]),
    ("nikto,sqlmap,gobuster,ffuf", &[
        (Pair, "-id --auth-cred --proxy-cred"),
        (Cookie, "--cookie"),
        (Data, "-d --data"),
        (Words, ""),
    ]),
    ("squidclient", &[(Secret, "-w -W"), (Takes, "-h -p -u -U -m -t -H -T")]),
    // Files.
    ("lftp,lftpget,open", &[(Comma, "-u --user"), (Code, "-e -c"), (Takes, "-p -f")]),
    ("ncftp,ncftpget,ncftpput,ncftpls,ncftpbatch", &[
        (Secret, "-p"),
        (Takes, "-u -P -d -r -t -j -f -J -X"),
    ]),
    ("tnftp,ftp,ftp-upload", &[(Secret, "--password"), (Takes, "-P -o -s -q -r")]),
    ("curlftpfs,s3fs,sshfs,mount.davfs,mount.cifs,mount.ceph,mount.glusterfs,mount.nfs,mount.ecryptfs,\
      mount", &[
        (List, "-o --options"),
        (Takes, "-t -L -U -O -p"),
    ]),
    ("smbclient,rpcclient,net,smbget,smbcacls,smbcquotas,smbtree,ldbsearch,ldbmodify,wbinfo,winexe,\
      nmblookup", &[
        (Percent, "-U --user --username -a --authenticate -K"),
        (Takes, "-A -W -s -I -p -c -D -d -l -m -n -O -T -t -L -i -H -b -S -w"),
    ]),
    ("smbmap", &[(Secret, "-p"), (Takes, "-u -d -H -P -s -x -r -R")]),
    ("samba-tool", &[(Percent, "-U --username"), (Takes, "-H -s -d -W -k"), (Sub, "")]),
    ("samba-tool user", &[(Sub, ""), (Percent, "-U")]),
    ("samba-tool user create,samba-tool user add", &[(Percent, "-U --username"), (Args, "- secret")]),
    ("smbpasswd,pdbedit,ntlm_auth,smbspool", &[(Secret, "-w"), (Takes, "-D -r -U -u -c -R -b -e -i -f -G -h -s")]),
    ("gcsfuse", &[(List, "-o"), (Takes, "-c -f")]),
    ("tftp,ascp", &[(Takes, "-P -l -m -k -i -L -u -O"), (Secret, "-W")]),
    // Remote access.
    ("ssh,autossh,dbclient", &[
        (Takes, "-p -i -l -o -F -L -R -D -J -c -m -b -B -E -e -I -O -Q -S -W -w -P -M"),
        (Args, "- code"),
    ]),
    ("sshpass", &[(Secret, "-p"), (Takes, "-f -d -P"), (Switch, "-e"), (Args, "command")]),
    ("plink,pscp,psftp,putty,kitty", &[
        (Secret, "-pw -pass"),
        (Code, "-proxycmd"),
        (Words, ""),
    ]),
    ("mosh", &[(Code, "--ssh --server"), (Takes, "-p --port"), (Args, "- code")]),
    ("rsync", &[
        (Code, "-e --rsh --rsync-path"),
        (Takes, "-f -T -B -M"),
    ]),
    ("rsnapshot,rdiff-backup,unison,lsyncd", &[(Code, "--remote-schema --remote-cmd -sshcmd -rshcmd"), (Takes, "-c")]),
    ("pssh,parallel-ssh,pdsh,clush,dsh", &[
        (Takes, "-h -H -l -p -o -e -t -w -x -g -u -f -R -O -x -X -c -M -m"),
        (Args, "code"),
    ]),
    ("rdesktop", &[
        (Secret, "-p"),
        (Takes, "-u -d -s -c -n -k -g -a -r -x -t -T -S -X -w -B -i -o -L -l"),
    ]),
    ("xfreerdp,xfreerdp3,wlfreerdp,sdl-freerdp", &[
        (Secret, "-p /p: /pth: /pass-the-hash: /gp: /gat: /password: /pcb: --p /assistance:"),
        (Percona, "/gateway:"),
        (Words, ""),
    ]),
    ("x11vnc", &[(Secret, "-passwd -viewpasswd -storepasswd -unixpw_cmd"), (Plain, "-rfbauth -passwdfile"), (Words, "")]),
    ("vncviewer,xtigervncviewer,xvncviewer,tigervncviewer", &[
        (Plain, "-passwd -PasswordFile -SecurityTypes"),
        (Words, ""),
    ]),
    ("vncdo,vncdotool,wayvnc", &[(Secret, "-p --password"), (Takes, "-s -u")]),
    ("evil-winrm,crackmapexec,cme,nxc,netexec", &[
        (Secret, "-p -H --password --hash"),
        (Words, ""),
    ]),
    ("secretsdump,psexec,wmiexec,smbexec,GetUserSPNs,GetNPUsers,mssqlclient,impacket-secretsdump,\
      impacket-psexec,impacket-wmiexec", &[
        (Secret, "-hashes -aesKey -nthash -computer-pass"),
        (Takes, "-dc-ip -target-ip -port -outputfile -c -codec"),
        (Args, "authority"),
        (Words, ""),
    ]),
    ("hydra,medusa", &[(Secret, "-p --pass"), (Takes, "-l -u -L -P -C -M -s -t -o -h -U -M -n -m -f")]),
    ("expect", &[(Code, "-c")]),
    ("telnet,rlogin,rsh,rexec", &[(Takes, "-l -k -e -S -X -n"), (Secret, "-p"), (Args, "- code")]),
    // Tunnels and proxies.
    ("openvpn,openvpn3", &[(Plain, "--auth-user-pass --askpass --secret --tls-auth --tls-crypt --auth-gen-token-secret")]),
    ("openconnect", &[
        (Secret, "-C --cookie -p --key-password --token-secret"),
        (Takes, "-u -g -s -i -c -k -F"),
    ]),
    ("openfortivpn", &[(Secret, "-p --password -o --otp --cookie"), (Takes, "-u -c")]),
    ("pppd,pon,chat", &[(Secret, "password"), (Code, "connect disconnect init"), (Takes, "user name file call")]),
    ("ngrok", &[(Secret, "--authtoken --oauth-client-secret"), (Pair, "--basic-auth --auth"), (Sub, "")]),
    ("ngrok authtoken", &[(Args, "secret")]),
    ("ngrok config", &[(Sub, "")]),
    ("ngrok config add-authtoken,ngrok config add-api-key", &[(Args, "secret")]),
    ("frpc,frps", &[(Secret, "-t --token"), (Takes, "-c -s -p -u")]),
    ("chisel", &[(Pair, "--auth"), (Takes, "--key -p")]),
    ("gost", &[(Authority, "-L -F"), (Secret, "-P"), (Takes, "-u -i -p")]),
    ("ss-local,ss-server,sslocal,ssserver", &[
        (Secret, "-k --password --key"),
        (Takes, "-s -p -l -m -c -b -t -f -a -u"),
    ]),
    ("proxytunnel", &[(Pair, "-P -R --proxyauth --remproxyauth"), (Takes, "-p -d -r -H -a")]),
    ("n2n", &[(Secret, "-k -J"), (Takes, "-a -c -l -d -m -p")]),
    ("zerotier-cli,netbird,headscale", &[(Secret, "-k --setup-key"), (Takes, "-T")]),
    ("mitmproxy,mitmdump,mitmweb", &[(Pair, "--proxyauth --upstream-auth"), (Takes, "-p -s -w -r")]),
    ("sslsplit", &[(Secret, "--pass --key-pass"), (Takes, "-k -c -l -p -j")]),
    // Mail and messages.
    ("sendemail", &[(Secret, "-xp"), (Words, "")]),
    ("swaks", &[
        (Optional, "-ap --auth-password -a --auth --auth-user-secret"),
        (Words, ""),
    ]),
    ("sipp", &[(Secret, "-ap"), (Words, "")]),
    ("pjsua", &[(Secret, "--password")]),
    ("irssi,weechat", &[(Secret, "-w"), (Takes, "-c -p -n -h")]),
    ("mcrcon,rcon,rcon-cli", &[(Secret, "-p --password"), (Takes, "-H -P -h -a")]),
    ("doveadm", &[(Takes, "-o -c -f"), (Sub, "")]),
    ("doveadm pw", &[(Secret, "-p"), (Takes, "-s -r -t -u")]),
    ("doveadm auth", &[(Sub, "")]),
    ("doveadm auth test,doveadm auth login", &[(Takes, "-a -x -A -M"), (Args, "- secret")]),
    ("testsaslauthd", &[(Secret, "-p"), (Takes, "-u -r -s -f")]),
    ("ejabberdctl,prosodyctl,sogo-tool", &[(Sub, "")]),
    ("ejabberdctl register,ejabberdctl change_password,ejabberdctl check_password,prosodyctl register", &[(Args, "- - secret")]),
    ("curlmail,s-nail,mailx,mail,neomutt,mutt", &[(List, "-S"), (Takes, "-s -r -a -c -b -e -F")]),
    ("steamcmd", &[(Second, "+login")]),
    ("murmurd", &[(Secret, "-supw"), (Words, "")]),
    ("coap-client", &[(Secret, "-k -K"), (Takes, "-u -m -e -t -p -s")]),
    // Monitoring and management of machines.
    ("snmpget,snmpgetnext,snmpwalk,snmpbulkwalk,snmpbulkget,snmpset,snmptrap,snmpinform,snmpstatus,\
      snmptable,snmpnetstat,snmptest,snmpusm,snmpvacm", &[
        (Secret, "-A -X -c -3m -3M -3k -3K"),
        (Two, "passwd"),
        (Takes, "-u -a -x -l -n -e -E -Z -O -I -r -t -d -m -M -L -P -C -v"),
    ]),
    ("snmpcheck,snmp-check,onesixtyone", &[(Secret, "-c"), (Takes, "-p -v -i -o -w")]),
    ("check_snmp", &[(Secret, "-C -A -X --community --authpasswd --privpasswd"), (Takes, "-H -o -w -c -P -U -a -x -L")]),
    ("check_http,check_tcp,check_curl", &[(Pair, "-a -b --authorization --proxy-authorization"), (Takes, "-H -I -p -u -w -c -s")]),
    ("check_mysql,check_pgsql", &[
        (Secret, "-p --password"),
        (Takes, "-H -P -u -l -d -w -c -q -s"),
    ]),
    ("check_ldap,check_smtp,check_imap", &[(Secret, "-P --pass --authpass"), (Takes, "-H -p -D -b -U -A -w -c -f -e")]),
    ("check_by_ssh", &[(Code, "-C --command"), (Takes, "-H -p -l -i -t -o")]),
    ("check_oracle", &[(Secret, "-p --password"), (Takes, "-H -s -u -W -P -F -n -w -c -N")]),
    ("ipmitool", &[
        (Secret, "-P -k -y"),
        (Takes, "-H -U -I -p -L -C -t -b -e -o -m -l -f -O -R -N -S -d -B -T"),
        (Sub, ""),
    ]),
    ("ipmitool user", &[(Sub, "")]),
    ("ipmitool user set", &[(Sub, "")]),
    ("ipmitool user set password", &[(Args, "- secret -")]),
    ("ipmitool user test", &[(Args, "- - secret")]),
    ("ipmipower,ipmiconsole,ipmi-sel,ipmi-sensors,ipmi-chassis,bmc-info,bmc-config", &[(Secret, "-p -k --password --k-g"), (Takes, "-h -u -D -l -a -I -T -W")]),
    ("ipmiutil", &[(Secret, "-P"), (Takes, "-N -U -F -J -T -V -Y")]),
    ("racadm", &[(Secret, "-p"), (Takes, "-r -u -i -g -o -f")]),
    ("redfishtool,ilorest,hponcfg", &[(Secret, "-p --password"), (Takes, "-r -u -S -A -C")]),
    ("upscmd,upsrw", &[(Secret, "-p"), (Takes, "-u -s")]),
    ("xe", &[(Secret, "-pw"), (Words, "")]),
    ("esxcli", &[(Secret, "-p --password"), (Takes, "-s -u -d -h")]),
    ("vmrun", &[(Secret, "-gp -vp -p"), (Words, "")]),
    ("vboxmanage,VBoxManage", &[(Second, "setcredentials"), (Secret, "--password")]),
    ("wpa_passphrase", &[(Args, "- secret")]),
    ("wpa_cli", &[(Secret, "psk password sae_password wep_key0 wep_key1 wep_key2 wep_key3 private_key_passwd pin"),
        (Takes, "-i -p -a -g")]),
    ("iw,iwconfig", &[(Secret, "key keys enc")]),
    ("iwctl", &[(Secret, "--passphrase -P"), (Takes, "-u -p")]),
    ("nmcli", &[
        (Secret, "password wifi-sec.psk 802-11-wireless-security.psk wifi-sec.wep-key0 wifi-sec.leap-password \
                  802-11-wireless-security.wep-key0 802-1x.password 802-1x.private-key-password vpn.secrets \
                  gsm.password gsm.pin pppoe.password cdma.password wireguard.private-key wep-key macsec.mka-cak"),
    ]),
    ("hostapd_cli,connmanctl", &[(Secret, "wps_pin wps_ap_pin")]),
    ("airdecap-ng", &[(Secret, "-p -w -k"), (Takes, "-e -b -a")]),
    ("tcpdump", &[(Secret, "-E"), (Takes, "-i -r -w -s -c -C -G -W -Z -z -M -y -T -V")]),
    ("ssldump", &[(Secret, "-p"), (Takes, "-k -r -i -w")]),
    ("nmap,ncat", &[(List, "--script-args"), (Pair, "--proxy-auth"), (Code, "-c --sh-exec"), (Command, "-e --exec"),
        (Takes, "-p -o -i -D -S -g -T -s -P -m -x")]),
    ("socat,nc", &[(Takes, "-p -s -w -X -x -T -t -b -l -W"), (Pair, "-P")]),
    ("remmina", &[(Secret, "-w --spice-password"), (Takes, "-c -h -p -s")]),
];
