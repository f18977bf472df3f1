//! Databases, message brokers, directories.

use crate::forms::Form::{
    Args, Conninfo, Flag, Glued, Letters, List, Login, Optional, Pair, Percona, Plain, Rest,
    Secret, Sub, Takes, Words,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    // MySQL and MariaDB: `-p` alone prompts, and the database follows.
    ("mysql*,mariadb*,xtrabackup,innobackupex,mycli", &[
        (Glued, "-p --password --password1 --password2 --password3"),
        (Letters, "uhPSDeTwdoiq"),
    ]),
    ("mysqladmin,mariadb-admin", &[
        (Glued, "-p --password --password1 --password2 --password3"),
        (Secret, "password old-password"),
        (Letters, "uhPSciw"),
    ]),
    ("mydumper,myloader", &[
        (Secret, "-p"),
        (Letters, "huPSBTodtrFxLO"),
    ]),
    ("pt-*", &[
        (Secret, "-p"),
        (Percona, "--source --dest --dsn"),
        (Letters, "uhPSDt"),
        (Args, "percona percona percona"),
    ]),
    // PostgreSQL: `--password` prompts.
    ("psql,pg_*,createdb,dropdb,createuser,dropuser,vacuumdb,reindexdb,clusterdb,pgbench,pgcli", &[
        (Flag, "-W --password -w --no-password"),
        (Conninfo, "-d --dbname"),
        (Letters, "hpUfcvPFRTLontjODlE"),
        (Args, "conninfo conninfo"),
    ]),
    // Redis and compatible servers.
    ("redis-*,valkey-*,keydb-*,memtier_benchmark", &[
        (Secret, "-a --authenticate requirepass masterauth REQUIREPASS"),
        (Rest, "AUTH auth Auth"),
        (Letters, "hpsnriutdPk"), (Takes, "--key"),
    ]),
    ("redis-server,valkey-server,redis-sentinel", &[
        (Secret, "--masterauth requirepass masterauth"),
    ]),
    // MongoDB: `-p` alone prompts.
    ("mongo*", &[
        (Optional, "-p --password"),
        (Letters, "uhdcofqnj"),
    ]),
    // Oracle.
    ("sqlplus,sqlplus64,sqlcl,sql", &[
        (Letters, "MRCmc"), (Takes, "-nohistory"),
        (Args, "login"),
        (Words, ""),
    ]),
    ("expdp,impdp,exp,imp,sqlldr,rman,dgmgrl,tkprof", &[
        (Login, "userid USERID target catalog auxiliary TARGET CATALOG AUXILIARY explain EXPLAIN rcvcat"),
        (Args, "login"),
    ]),
    // SQL Server and Sybase.
    ("sqlcmd,bcp,osql,freebcp,tsql,fisql,defncopy,mssql-cli", &[
        (Secret, "-P -Z -z"),
        (Letters, "SUdQqiohswtlvfrebHpDcmaKC"),
    ]),
    ("isql,iusql", &[(Secret, "-P -pas"), (Letters, "SUDdqiour"), (Takes, "-user"),
        (Args, "- - secret")]),
    ("hive,beeline", &[(Secret, "-p"), (Words, "")]),
    ("hdbsql,exaplus,vsql", &[(Secret, "-p -w"), (Letters, "ucndiUfh")]),
    ("trino,presto,presto-cli", &[(Flag, "--password")]),
    ("clickhouse*", &[
        (Optional, "--password"),
        (Letters, "hudq"), (Takes, "--host --user --query"),
        (Sub, ""),
    ]),
    ("cqlsh,cassandra-stress,sstableloader", &[
        (Secret, "-p -pw"),
        (Letters, "uefkd"),
    ]),
    ("nodetool", &[(Secret, "-pw"), (Words, "")]),
    ("influx,influxd", &[
        (Secret, "-password -t -p"),
        (Letters, "uobc"), (Takes, "-username -host -port -database -execute"),
        (Sub, ""),
    ]),
    ("influx write", &[(Letters, "pbof"), (Secret, "-t")]),
    ("couchbase-cli,cb*", &[
        (Secret, "-p -P"),
        (Letters, "ucbesardf"),
    ]),
    ("cypher-shell,neo4j-client", &[(Secret, "-p"), (Letters, "uadf")]),
    ("etcdctl", &[(Pair, "--user --new-user"), (Sub, "")]),
    ("etcdctl user", &[(Sub, "")]),
    ("etcdctl user add", &[(Pair, "--user"), (Args, "pair"), ]),
    ("etcdctl put", &[(Pair, "--user"), (Args, "name value")]),
    ("consul", &[(Pair, "-http-auth"), (Words, ""), (Sub, "")]),
    ("consul kv", &[(Sub, "")]),
    ("consul kv put", &[(Args, "name value"), (Words, "")]),
    ("elasticsearch-users", &[(Secret, "-p")]),
    ("solr", &[(Pair, "-credentials -u --credentials"), (Words, "")]),
    // Message brokers.
    ("rabbitmqadmin", &[(Secret, "-p"), (Letters, "uHPVcNfdSk")]),
    ("rabbitmqctl,rabbitmq-*", &[(Letters, "npt"), (Takes, "--node"), (Sub, "")]),
    ("rabbitmqctl add_user,rabbitmqctl change_password,rabbitmqctl authenticate_user", &[(Args, "- secret")]),
    ("mosquitto_*", &[
        (Secret, "-P --pw"),
        (Letters, "utmhpikqAfLUxVCDEFRsTwWoMI"),
        (Plain, "--psk-identity"),
    ]),
    ("mosquitto_passwd", &[(Args, "- - secret"), (Letters, "HI")]),
    ("kcat,kafkacat", &[(List, "-X"), (Letters, "btpGFocfKD")]),
    // Directory services.
    ("ldap*,dsconf,dsctl,dsidm", &[
        (Secret, "-w --bindpw"),
        (Letters, "DHhpbslzyeEfFdoOURXYaSTr"),
    ]),
    ("ldappasswd", &[
        (Secret, "-w -s -a"),
        (Letters, "DHhpyefdoOURXYStT"),
    ]),
    ("slappasswd", &[(Secret, "-s"), (Letters, "hcTo")]),
    ("sqoop", &[(Sub, "")]),
    ("sqoop import,sqoop export,sqoop eval", &[(Flag, "-P")]),
];
