//! Databases, message brokers, directories.

use crate::forms::Form::{
    Args, Cert, Conninfo, Data, Flag, Glued, List, Login, Optional, Pair, Percona, Plain, Rest, Secret, Sub,
    Takes, Words,
};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // MySQL and MariaDB: `-p` alone asks, and what follows is the database.
    ("mysql,mysqldump,mysqlimport,mysqlshow,mysqlcheck,mysqlpump,mysqlbinlog,mysqlslap,mysql_upgrade,\
      mysqlsh,mariadb,mariadb-dump,mariadb-import,mariadb-show,mariadb-check,mariadb-binlog,mariadb-slap,\
      mariadb-upgrade,mariadb-backup,mariabackup,xtrabackup,innobackupex,mycli", &[
        (Glued, "-p --password --password1 --password2 --password3"),
        (Takes, "-u -h -P -S -D -e -T -w -d -o -i -q"),
    ]),
    ("mysqladmin,mariadb-admin", &[
        (Glued, "-p --password --password1 --password2 --password3"),
        (Secret, "password old-password"),
        (Takes, "-u -h -P -S -c -i -w"),
    ]),
    ("mydumper,myloader", &[
        (Secret, "-p --password"),
        (Takes, "-h -u -P -S -B -T -o -d -t -r -F -x -L -O"),
    ]),
    ("pt-table-checksum,pt-table-sync,pt-online-schema-change,pt-archiver,pt-kill,pt-heartbeat,\
      pt-query-digest,pt-show-grants", &[
        (Secret, "-p --password --slave-password"),
        (Percona, "--source --dest --dsn"),
        (Takes, "-u -h -P -S -D -t"),
        (Args, "percona percona percona"),
    ]),
    ("proxysql,maxadmin", &[(Glued, "-p --password"), (Takes, "-u -h -P -S")]),
    // PostgreSQL: `--password` asks.
    ("psql,pg_dump,pg_dumpall,pg_restore,pg_basebackup,pg_receivewal,pg_recvlogical,pg_isready,pg_rewind,\
      createdb,dropdb,createuser,dropuser,vacuumdb,reindexdb,clusterdb,pgbench,pgcli", &[
        (Flag, "-W --password -w --no-password"),
        (Conninfo, "-d --dbname"),
        (Takes, "-h -p -U -f -c -v -P -F -R -T -L -o -n -t -j -O -D -l -E"),
        (Args, "conninfo conninfo"),
    ]),
    ("vsql", &[(Secret, "-w"), (Takes, "-U -h -p -d -c -f")]),
    ("exaplus,hdbsql", &[(Secret, "-p"), (Words, "")]),
    ("usql", &[(Flag, "-W --password -w"), (Args, "-")]),
    // Redis and those that speak like it.
    ("redis-cli,valkey-cli,keydb-cli,redis-benchmark,valkey-benchmark,memtier_benchmark", &[
        (Secret, "-a --pass --authenticate requirepass masterauth REQUIREPASS"),
        (Rest, "AUTH auth Auth"),
        (Takes, "-h -p -s -n -r -i -u -t -d -P -k --key"),
    ]),
    ("redis-server,valkey-server,redis-sentinel", &[
        (Secret, "--requirepass --masterauth requirepass masterauth --tls-key-file-pass"),
    ]),
    // MongoDB: `-p` alone asks.
    ("mongo,mongosh,mongodump,mongorestore,mongoimport,mongoexport,mongostat,mongotop,mongofiles,mongoreplay", &[
        (Optional, "-p --password"),
        (Secret, "--sslPEMKeyPassword --tlsCertificateKeyFilePassword --awsSecretAccessKey --awsSessionToken"),
        (Takes, "-u -h -d -c -o -f -q -n -j"),
    ]),
    ("mongod,mongos", &[
        (Secret, "--sslPEMKeyPassword --tlsCertificateKeyFilePassword --sslClusterPassword --tlsClusterPassword"),
    ]),
    // Oracle.
    ("sqlplus,sqlplus64,sqlcl,sql", &[
        (Takes, "-M -R -C -m -c -nohistory"),
        (Args, "login"),
        (Words, ""),
    ]),
    ("expdp,impdp,exp,imp,sqlldr,rman,dgmgrl,tkprof", &[
        (Login, "userid USERID target catalog auxiliary TARGET CATALOG AUXILIARY explain EXPLAIN rcvcat"),
        (Args, "login"),
    ]),
    ("orapwd,netca", &[(Secret, "password PASSWORD sys syspassword")]),
    // SQL Server and Sybase.
    ("sqlcmd,bcp,osql,freebcp,tsql,fisql,defncopy,mssql-cli", &[
        (Secret, "-P -Z -z"),
        (Takes, "-S -U -d -Q -q -i -o -h -s -w -t -l -v -f -r -e -b -H -p -D -c -m -a -K -C"),
    ]),
    ("isql,iusql", &[(Secret, "-P -pas -pass -password"), (Takes, "-S -U -D -d -q -i -o -u -user -r"),
        (Args, "- - secret")]),
    ("isql-fb,gbak,gfix,gstat,nbackup,gsec,fbsvcmgr", &[
        (Secret, "-pas -pass -passw -password -pa -pw -PASS -PAS password"),
        (Words, ""),
    ]),
    ("db2,db2look,db2move", &[(Secret, "using USING new NEW confirm CONFIRM -w -p"), (Takes, "-d -i -u -t")]),
    ("hive,beeline", &[(Secret, "-p"), (Words, "")]),
    ("trino,presto,presto-cli", &[(Flag, "--password")]),
    ("clickhouse,clickhouse-client,clickhouse-local,clickhouse-benchmark", &[
        (Optional, "--password"),
        (Takes, "-h -u -d -q --host --user --query"),
        (Sub, ""),
    ]),
    ("cqlsh,cassandra-stress,sstableloader", &[
        (Secret, "-p --password -pw"),
        (Takes, "-u -e -f -k -d"),
    ]),
    ("nodetool", &[(Secret, "-pw --password"), (Words, "")]),
    ("influx,influxd", &[
        (Secret, "-password --password -t --token -p"),
        (Takes, "-username -u -host -port -database -execute -o -b -c"),
        (Sub, ""),
    ]),
    ("influx write", &[(Takes, "-p -b -o -f"), (Secret, "-t --token")]),
    ("couchbase-cli,cbbackupmgr,cbimport,cbexport,cbq,cbc", &[
        (Secret, "-p --password --cluster-password --new-password --server-add-password -P"),
        (Takes, "-u -c -b -e -s -a -r -d -f"),
    ]),
    ("cypher-shell,neo4j-client", &[(Secret, "-p --password --change-password"), (Takes, "-u -a -d -f")]),
    ("neo4j-admin", &[(Secret, "set-initial-password")]),
    ("arangosh,arangodump,arangorestore,arangoimport", &[(Secret, "--server.password")]),
    ("etcdctl", &[(Pair, "--user --new-user"), (Sub, "")]),
    ("etcdctl user", &[(Sub, "")]),
    ("etcdctl user add", &[(Pair, "--user"), (Args, "pair"), (Secret, "--new-user-password")]),
    ("etcdctl put", &[(Pair, "--user"), (Args, "name value")]),
    ("consul", &[(Secret, "-token"), (Pair, "-http-auth"), (Words, ""), (Sub, "")]),
    ("consul kv", &[(Sub, "")]),
    ("consul kv put", &[(Args, "name value"), (Secret, "-token"), (Words, "")]),
    ("consul keygen,consul keyring", &[(Secret, "-install -use -remove"), (Words, "")]),
    ("elasticsearch-users", &[(Secret, "-p")]),
    ("elasticsearch-certutil", &[(Secret, "--pass --ca-pass")]),
    ("zkCli,zookeeper-shell,zookeepercli", &[(Secret, "addauth"), (Pair, "-auth_pwd"), (Takes, "-server")]),
    ("solr", &[(Pair, "-credentials -u --credentials"), (Words, "")]),
    // Messages.
    ("rabbitmqadmin", &[(Secret, "-p --password"), (Takes, "-u -H -P -V -c -N -f -d -S -k")]),
    ("rabbitmqctl,rabbitmq-diagnostics", &[(Takes, "-n -p -t --node"), (Secret, "--erlang-cookie"), (Sub, "")]),
    ("rabbitmqctl add_user,rabbitmqctl change_password,rabbitmqctl authenticate_user", &[(Args, "- secret")]),
    ("mosquitto_pub,mosquitto_sub,mosquitto_rr,mosquitto_ctrl", &[
        (Secret, "-P --pw"),
        (Takes, "-u -t -m -h -p -i -k -q -A -f -L -U -x -V -C -D -E -F -R -s -T -w -W -o -M -I"),
        (Plain, "--psk-identity"),
    ]),
    ("mosquitto_passwd", &[(Args, "- - secret"), (Takes, "-H -I")]),
    ("nats", &[(Secret, "--password --token"), (Takes, "-s --creds --nkey")]),
    ("kcat,kafkacat", &[(List, "-X"), (Takes, "-b -t -p -G -F -o -c -f -K -D")]),
    ("amqp-publish,amqp-consume,amqp-get,amqp-declare-queue,qpid-config,qpid-stat", &[
        (Takes, "-u -s -r -e -b"),
        (Secret, "--password --sasl-password"),
    ]),
    // Directories.
    ("ldapsearch,ldapadd,ldapmodify,ldapdelete,ldapmodrdn,ldapcompare,ldapwhoami,ldapexop,dsconf,dsctl,\
      dsidm", &[
        (Secret, "-w --bindpw --pwdfile-secret"),
        (Takes, "-D -H -h -p -b -s -l -z -y -e -E -f -F -d -o -O -U -R -X -Y -a -S -T -r"),
    ]),
    ("ldappasswd", &[
        (Secret, "-w -s -a"),
        (Takes, "-D -H -h -p -y -e -f -d -o -O -U -R -X -Y -S -t -T"),
    ]),
    ("slappasswd", &[(Secret, "-s"), (Takes, "-h -c -T -o")]),
    ("ldapvi", &[(Secret, "-w --password"), (Takes, "-h -D -b -s -Y")]),
    ("sysbench", &[(Secret, "--mysql-password --pgsql-password")]),
    ("logstash,filebeat,metricbeat", &[(Data, "--modules.variables"), (Takes, "-e -E -f -c")]),
    ("dbeaver,sqlite3", &[(Cert, "--cert")]),
    ("sqoop", &[(Sub, "")]),
    ("sqoop import,sqoop export,sqoop eval", &[(Secret, "--password"), (Flag, "-P")]),
];
