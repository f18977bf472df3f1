//! Accounts, Kerberos, disks and what else belongs to a machine.

use crate::forms::Form::{
    Args, Code, Flag, List, Name, Pair, Plain, Secret, Sub, Takes, Value, Words,
};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    ("useradd,adduser", &[
        (Secret, "-p --password -P --plainpassword"),
        (Takes, "-b -c -d -e -f -g -G -k -K -u -s -R -Z -h"),
    ]),
    ("usermod", &[
        (Secret, "-p --password -P --plainpassword"),
        (Takes, "-c -d -e -f -g -G -l -u -s -R -Z -v -V -w -W"),
    ]),
    ("groupadd,groupmod", &[(Secret, "-p --password"), (Takes, "-g -K -R -n -U -G")]),
    ("lpasswd", &[(Secret, "-P -p"), (Takes, "-h")]),
    ("homectl", &[(Takes, "-P"), (Secret, "--pkcs11-pin --recovery-key-value")]),
    // Kerberos, FreeIPA, Active Directory.
    ("kadmin,kadmin.local,kadmin.heimdal", &[(Code, "-q"), (Secret, "-w"), (Takes, "-p -r -k -t -c -s -O -e -x -d")]),
    ("addprinc,add_principal,ank,cpw,change_password,modprinc,addent", &[(Secret, "-pw"), (Words, "")]),
    ("kdb5_util,kdb5_ldap_util", &[(Secret, "-P -w"), (Takes, "-r -d -k -M -m -D -H -sf")]),
    ("kinit,klist,kpasswd,kvno", &[(Takes, "-c -k -t -l -r -s -S -T -X"), (Plain, "--password-file")]),
    ("ipa-client-install,ipa-getkeytab,ipa-join,ipa", &[
        (Secret, "-w --password --bindpw --admin-password"),
        (Takes, "-p -s -d -r -k -D -e -h"),
    ]),
    ("ipa-server-install,ipa-replica-install,ipa-dns-install,ipa-ca-install", &[
        (Secret, "-p -a -w --ds-password --admin-password --dirman-password"),
        (Takes, "-n -r -d -P"),
    ]),
    ("realm,adcli,msktutil", &[
        (Flag, "--stdin-password --no-password --show-password"),
        (Secret, "--one-time-password --password --old-account-password"),
        (Takes, "-U -D -S -H -C"),
    ]),
    ("saslpasswd2,sasldblistusers2", &[(Flag, "-p -c -d"), (Takes, "-u -f -a")]),
    // Disks.
    ("hdparm", &[
        (Secret, "--security-set-pass --security-unlock --security-disable --security-erase --security-erase-enhanced"),
    ]),
    ("sedutil-cli", &[(Secret, "--initialSetup --setSIDPassword --setAdmin1Pwd --loadPBAimage --revertTPer \
                                --enableLockingRange --validatePBKDF2 --PSIDrevert --yesIreallywanttoERASEALLmydatausingthePSID")]),
    ("nvme", &[(Sub, "")]),
    ("nvme connect,nvme connect-all,nvme discover,nvme gen-tls-key,nvme check-dhchap-key", &[
        (Secret, "-S --dhchap-secret -C --dhchap-ctrl-secret --secret -k --key --keydata"),
        (Takes, "-t -a -s -n -q -w -f"),
    ]),
    ("iscsiadm", &[(Name, "-n --name"), (Value, "-v --value"), (Takes, "-m -o -t -p -T -I -H -r -s")]),
    ("targetcli,tgtadm", &[(Secret, "--password"), (Takes, "-L -o -m -u -t")]),
    ("ceph,rbd,rados,ceph-fuse,radosgw-admin", &[(Secret, "--key --secret --secret-key -K"), (Takes, "-n -c -k -m -p")]),
    ("nbd-client,qemu-img", &[(List, "--object -object -o"), (Takes, "-f -O -b")]),
    ("qemu-system-x86_64,qemu,kvm,qemu-kvm,qemu-system-aarch64", &[(List, "-object -spice -vnc -iscsi -drive -chardev -netdev"), (Words, "")]),
    ("virt-install,virt-xml,virt-customize", &[
        (List, "--graphics --cloud-init --sysinfo --disk --network"),
        (Pair, "--password --root-password --password-crypto"),
        (Code, "--run-command --firstboot-command"),
    ]),
    ("bluetoothctl,mmcli,gammu", &[(Secret, "--pin --change-pin")]),
    ("fetchmail,getmail,msmtp", &[(Takes, "-f -c -a -C -u"), (Code, "--passwordeval --plugin")]),
    ("imapsync", &[(Secret, "--password1 --password2 --oauthaccesstoken1 --oauthaccesstoken2")]),
    ("zabbix_sender,zabbix_get,zabbix_agentd", &[(Secret, "--tls-psk"), (Takes, "-z -s -k -o -i -p -h")]),
    ("xauth", &[(Takes, "-f -n"), (Sub, "")]),
    ("xauth add", &[(Args, "- - secret")]),
    ("crudini", &[(Takes, "--inplace"), (Args, "- - name value"), (Flag, "--set --get --existing")]),
    ("gsettings set,dconf write,augtool set", &[(Args, "name value")]),
    ("vncpasswd,x0vncserver,Xvnc", &[(Plain, "-PasswordFile -rfbauth"), (Words, "")]),
    ("systemd-ask-password,systemd-creds,systemd-tty-ask-password-agent", &[(Plain, "--icon --id --credential --name --with-key --echo")]),
    ("mokutil", &[(Flag, "-P --root-pw --password"), (Secret, "--hash-secret"), (Takes, "-f")]),
];
