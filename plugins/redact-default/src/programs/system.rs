//! Administration of a machine: accounts, Kerberos, disks.

use crate::forms::Form::{
    Args, Code, Flag, Letters, List, Name, Plain, Secret, Sub, Takes, Value, Words,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    ("useradd,adduser", &[
        (Secret, "-p -P"),
        (Letters, "bcdefgGkKusRZh"),
    ]),
    ("usermod", &[
        (Secret, "-p -P"),
        (Letters, "cdefgGlusRZvVwW"),
    ]),
    // Kerberos, FreeIPA, Active Directory.
    ("kadmin,kadmin.local,kadmin.heimdal", &[(Code, "-q"), (Secret, "-w"), (Letters, "prktcsOexd")]),
    ("addprinc,add_principal,ank,cpw,change_password,modprinc,addent", &[(Secret, "-pw"), (Words, "")]),
    ("kdb5_util,kdb5_ldap_util", &[(Secret, "-P -w"), (Letters, "rdkMmDH"), (Takes, "-sf")]),
    ("kinit,klist,kpasswd,kvno", &[(Letters, "cktlrsSTX"), (Plain, "--password-file")]),
    ("ipa,ipa-client-install,ipa-getkeytab,ipa-join", &[
        (Secret, "-w --bindpw"),
        (Letters, "psdrkDeh"),
    ]),
    ("ipa-*", &[
        (Secret, "-p -a -w"),
        (Letters, "nrdP"),
    ]),
    ("realm,adcli,msktutil", &[
        (Flag, "--stdin-password --no-password --show-password"),
        (Letters, "UDSHC"),
    ]),
    // Disks.
    ("hdparm", &[
        (Secret, "--security-unlock --security-disable --security-erase --security-erase-enhanced"),
    ]),
    ("iscsiadm", &[(Name, "-n --name"), (Value, "-v --value"), (Letters, "motpTIHrs")]),
    ("ceph,rbd,rados,ceph-fuse,radosgw-admin", &[(Secret, "--key -K"), (Letters, "nckmp")]),
    ("qemu-system-x86_64,qemu,kvm,qemu-kvm,qemu-system-aarch64", &[(List, "-object -spice -vnc -iscsi -drive -chardev -netdev"), (Words, "")]),
    ("fetchmail,getmail,msmtp", &[(Letters, "fcaCu"), (Code, "--passwordeval --plugin")]),
    ("xauth", &[(Letters, "fn"), (Sub, "")]),
    ("xauth add", &[(Args, "- - secret")]),
];
