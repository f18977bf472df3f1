//! Programs that start other programs, and programs that take shell code. Their options with values are listed, because
//! the first word that is not a value is the program.

use crate::forms::Form::{Args, Code, Command, Flag, Letters, Sub, Switch, Takes, Words};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    ("sh,bash,dash,zsh,ksh,ksh93,mksh,ash,fish,csh,tcsh", &[
        (Code, "-c --command --init-command -C"),
        (Letters, "oO"), (Takes, "--rcfile --init-file"),
        (Args, "-"),
    ]),
    ("eval,trap", &[(Args, "code")]),
    ("exec", &[(Takes, "-a"), (Args, "command")]),
    ("command,builtin,nohup,setsid,coproc,noglob,nocorrect,eatmydata,fakeroot,chronic,torsocks,torify,\
      tsocks,dbus-run-session,caffeinate,linux32,linux64,i386,x86_64,catchsegv,dumb-init,catatonit,rlwrap,\
      winpty,wine,wine64,unbuffer,busybox,toybox,systemd-cat,aa-exec,dbus-launch,entr,ts,retry,distcc,\
      ccache,sccache,grc,then,do,else", &[
        (Letters, "atp"), (Takes, "--times --delay"),
        (Args, "command"),
    ]),
    ("proxychains,proxychains4,tini,tini-static,pkexec,aa-exec-profile", &[
        (Letters, "fpe"), (Takes, "--user --profile"),
        (Args, "command"),
    ]),
    ("ltrace,xvfb-run,hyperfine", &[
        (Letters, "eopnsSAulFwfrmx"), (Takes, "--server-args --server-num --auth-file --warmup --runs"),
        (Args, "code"),
    ]),
    ("sudo,sudoedit,sudo-rs,doas,run0", &[
        (Letters, "ughpCDRTUrtca"), (Takes, "--user --group --host --prompt --chdir --chroot --role --type"),
        (Args, "command"),
    ]),
    ("su,runuser", &[
        (Code, "-c --command --session-command"),
        (Letters, "sgGwu"), (Takes, "--shell --group --supp-group --whitelist-environment --user"),
        (Args, "weak"),
    ]),
    ("sg,newgrp", &[(Code, "-c"), (Args, "- code")]),
    ("env", &[(Letters, "uC"), (Takes, "--unset --chdir"), (Code, "-S --split-string"), (Args, "command")]),
    ("timeout,gtimeout", &[(Letters, "ks"), (Takes, "--kill-after --signal"), (Args, "- command")]),
    ("nice,renice", &[(Takes, "-n --adjustment"), (Args, "command")]),
    ("ionice", &[(Letters, "cnpPu"), (Takes, "--class --classdata"), (Args, "command")]),
    ("chrt", &[(Letters, "TPD"), (Args, "- command")]),
    ("taskset,faketime,chroot,setuidgid,envuidgid,envdir,gosu,su-exec,runcon,setarch,s6-setuidgid,setlock", &[
        (Letters, "tlurpf"), (Takes, "--userspec --groups"),
        (Args, "- command"),
    ]),
    ("stdbuf", &[(Letters, "ioe"), (Takes, "--input --output --error"), (Args, "command")]),
    ("time,gtime", &[(Letters, "fo"), (Takes, "--format --output"), (Args, "command")]),
    ("strace,strace64", &[
        (Letters, "abeEIoOpPsSuUX"), (Takes, "--trace --output --attach --string-limit --env --user"),
        (Args, "command"),
    ]),
    ("gdb,lldb,cgdb", &[(Command, "--args -args --"), (Words, "")]),
    ("xargs,gxargs", &[
        (Letters, "adEILnPs"), (Takes, "--arg-file --delimiter --max-args --max-procs --max-lines"),
        (Switch, "-i -l -e"),
        (Args, "command"),
    ]),
    ("find,gfind,bfs", &[(Command, "-exec -execdir -ok -okdir"), (Words, "")]),
    ("parallel,sem", &[
        (Letters, "jaSnNIdkC"), (Takes, "--jobs --arg-file --sshlogin --delay --timeout --colsep --joblog --results"),
        (Args, "code"),
    ]),
    ("watch", &[
        (Command, "-x --exec"),
        (Letters, "nsq"), (Takes, "--interval --equexit"),
        (Args, "code"),
    ]),
    ("script", &[(Code, "-c --command"), (Letters, "IOBTmoE"), (Args, "-")]),
    ("flock", &[
        (Code, "-c --command"),
        (Letters, "wE"), (Takes, "--timeout --wait --conflict-exit-code"),
        (Args, "- command"),
    ]),
    ("setpriv", &[
        (Takes, "--reuid --regid --groups --inh-caps --bounding-set"),
        (Args, "command"),
    ]),
    ("prlimit,cpulimit,numactl,systemd-inhibit,cgexec,ulimit,choom", &[
        (Letters, "lpmNCigduwsane"), (Takes, "--what --who --why --mode --membind --cpunodebind --pid"),
        (Args, "command"),
    ]),
    ("unshare", &[
        (Letters, "RwSG"), (Takes, "--root --wd --setuid --setgid --map-user --map-group"),
        (Args, "command"),
    ]),
    ("nsenter", &[
        (Letters, "tSGNW"), (Takes, "--target --setuid --setgid"),
        (Args, "command"),
    ]),
    ("ip", &[(Letters, "nfb"), (Takes, "-netns -family -batch"), (Sub, "")]),
    ("ip netns", &[(Sub, "")]),
    ("ip netns exec", &[(Args, "- command")]),
    ("ip vrf", &[(Sub, "")]),
    ("ip vrf exec", &[(Args, "- command")]),
    ("systemd-run", &[
        (Letters, "puEHMd"), (Takes, "--property --unit --description --slice --setenv --uid --gid --working-directory --on-calendar --on-active"),
        (Args, "command"),
    ]),
    ("daemon,daemonize,supervise,nssm", &[(Letters, "nuEpoelacFPDrOL"), (Takes, "--name --env"), (Args, "command")]),
    ("tmux,byobu", &[(Letters, "fLScT"), (Sub, "")]),
    ("tmux new,tmux new-session,tmux neww,tmux new-window,tmux split-window,tmux run-shell,tmux send-keys", &[
        (Letters, "snctFxyelpwhbfTN"),
        (Args, "code"),
    ]),
    ("screen", &[
        (Letters, "StcsTehp"),
        (Command, "-X"),
        (Flag, "-d -m -D -R -r -x -L"),
        (Args, "command"),
    ]),
    ("xterm,uxterm,rxvt,urxvt,konsole", &[
        (Command, "-e -x"),
        (Takes, "-T -title -fn -geometry -bg -fg -name"),
    ]),
    ("aws-vault,chamber-exec,sops-exec", &[(Takes, "-d --duration --region"), (Sub, "")]),
    ("aws-vault exec", &[(Letters, "dt"), (Takes, "--duration --region --mfa-token"), (Args, "- command")]),
    ("tar,gtar", &[
        (Code, "-I --use-compress-program --to-command --rsh-command --info-script --new-volume-script -F"),
        (Letters, "fCTXbgHKLNV"),
    ]),
];
