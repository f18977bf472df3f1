//! Programs that start others, and those that take shell code. Their own options with values are listed, for what
//! follows them is no value but the program.

use crate::forms::Form::{Args, Code, Command, Flag, Sub, Switch, Takes, Words};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    ("sh,bash,dash,zsh,ksh,ksh93,mksh,ash,fish,csh,tcsh", &[
        (Code, "-c --command --init-command -C"),
        (Takes, "-o -O --rcfile --init-file"),
        (Args, "-"),
    ]),
    ("eval,trap", &[(Args, "code")]),
    ("exec", &[(Takes, "-a"), (Args, "command")]),
    ("command,builtin,nohup,setsid,coproc,noglob,nocorrect,eatmydata,fakeroot,chronic,torsocks,torify,\
      tsocks,dbus-run-session,caffeinate,linux32,linux64,i386,x86_64,catchsegv,dumb-init,catatonit,rlwrap,\
      winpty,wine,wine64,unbuffer,busybox,toybox,systemd-cat,aa-exec,dbus-launch,entr,ts,retry,distcc,\
      ccache,sccache,grc,then,do,else", &[
        (Takes, "-a -t -p --times --delay"),
        (Args, "command"),
    ]),
    ("proxychains,proxychains4,tini,tini-static,pkexec,aa-exec-profile", &[
        (Takes, "-f -p -e --user --profile"),
        (Args, "command"),
    ]),
    ("ltrace,xvfb-run,hyperfine", &[
        (Takes, "-e -o -p -n -s -S -A -u -l -F -w -f -r -m -x --server-args --server-num --auth-file --warmup --runs"),
        (Args, "code"),
    ]),
    ("ssh-agent", &[(Takes, "-a -E -P -t"), (Args, "command")]),
    ("sudo,sudoedit,sudo-rs,doas,run0", &[
        (Takes, "-u -g -h -p -C -D -R -T -U -r -t -c -a --user --group --host --prompt --chdir --chroot --role --type \
                 --other-user --command-timeout --close-from --auth-type --login-class --setenv --unit --property \
                 --description --slice --nice --background --machine"),
        (Args, "command"),
    ]),
    ("su,runuser", &[
        (Code, "-c --command --session-command"),
        (Takes, "-s --shell -g --group -G --supp-group -w --whitelist-environment -u --user"),
        (Args, "weak"),
    ]),
    ("sg,newgrp", &[(Code, "-c"), (Args, "- code")]),
    ("env", &[(Takes, "-u --unset -C --chdir"), (Code, "-S --split-string"), (Args, "command")]),
    ("timeout,gtimeout", &[(Takes, "-k -s --kill-after --signal"), (Args, "- command")]),
    ("nice,renice", &[(Takes, "-n --adjustment"), (Args, "command")]),
    ("ionice", &[(Takes, "-c -n -p -P -u --class --classdata"), (Args, "command")]),
    ("chrt", &[(Takes, "-T -P -D"), (Args, "- command")]),
    ("taskset,faketime,chroot,setuidgid,envuidgid,envdir,gosu,su-exec,runcon,setarch,s6-setuidgid,setlock", &[
        (Takes, "-t -l -u -r --userspec --groups -p -f"),
        (Args, "- command"),
    ]),
    ("stdbuf", &[(Takes, "-i -o -e --input --output --error"), (Args, "command")]),
    ("time,gtime", &[(Takes, "-f -o --format --output"), (Args, "command")]),
    ("strace,strace64", &[
        (Takes, "-a -b -e -E -I -o -O -p -P -s -S -u -U -X --trace --output --attach --string-limit --env --user"),
        (Args, "command"),
    ]),
    ("valgrind,gdbserver", &[(Takes, "-o -p"), (Args, "command")]),
    ("gdb,lldb,cgdb", &[(Command, "--args -args --"), (Words, "")]),
    ("perf", &[(Sub, "")]),
    ("perf record,perf stat,perf trace,perf mem", &[
        (Takes, "-e -F -c -o -p -t -u -C -g -G -M -r -x -I -D -d --event --output --pid --call-graph --freq"),
        (Args, "command"),
    ]),
    ("xargs,gxargs", &[
        (Takes, "-a -d -E -I -L -n -P -s --arg-file --delimiter --max-args --max-procs --replace --max-lines --max-chars"),
        (Switch, "-i -l -e"),
        (Args, "command"),
    ]),
    ("find,gfind,bfs", &[(Command, "-exec -execdir -ok -okdir"), (Words, "")]),
    ("fd,fdfind", &[(Command, "-x --exec -X --exec-batch"), (Takes, "-e -t -d -E")]),
    ("parallel,sem", &[
        (Takes, "-j -a -S -n -N -I -d -k --jobs --arg-file --sshlogin --delay --timeout --colsep -C --joblog --results"),
        (Args, "code"),
    ]),
    ("watch", &[
        (Command, "-x --exec"),
        (Takes, "-n --interval -s -q --equexit"),
        (Args, "code"),
    ]),
    ("watchexec,entr-sh,nodemon", &[
        (Code, "-x --exec"),
        (Takes, "-w -e -i -s --watch --ext --ignore -p -r -g --shell"),
        (Args, "weak"),
    ]),
    ("script", &[(Code, "-c --command"), (Takes, "-I -O -B -T -m -o -E"), (Args, "-")]),
    ("scl", &[(Args, "- - code")]),
    ("flock", &[
        (Code, "-c --command"),
        (Takes, "-w -E --timeout --wait --conflict-exit-code"),
        (Args, "- command"),
    ]),
    ("setpriv", &[
        (Takes, "--reuid --regid --groups --inh-caps --bounding-set --ambient-caps --securebits --pdeathsig --selinux-label \
                 --apparmor-profile"),
        (Args, "command"),
    ]),
    ("capsh", &[(Code, "-c"), (Command, "--")]),
    ("chpst,s6-softlimit,softlimit", &[(Takes, "-u -U -b -e -d -o -m -p -f -c -t -l -L -n -/ -a -s"), (Args, "command")]),
    ("prlimit,cpulimit,numactl,systemd-inhibit,cgexec,ulimit,choom", &[
        (Takes, "-l -p -m -N -C -i -g -d -u -w -s -a -n -e --what --who --why --mode --membind --cpunodebind --pid \
                 --cpubind --interleave --limit"),
        (Args, "command"),
    ]),
    ("unshare", &[
        (Takes, "-R -w -S -G --root --wd --setuid --setgid --map-user --map-group --map-users --map-groups --propagation \
                 --setgroups --monotonic --boottime"),
        (Args, "command"),
    ]),
    ("nsenter", &[
        (Takes, "-t --target -S -G --setuid --setgid -N -W"),
        (Args, "command"),
    ]),
    ("firejail", &[(Takes, ""), (Args, "command")]),
    ("ip", &[(Takes, "-n -netns -f -family -b -batch"), (Sub, "")]),
    ("ip netns", &[(Sub, "")]),
    ("ip netns exec", &[(Args, "- command")]),
    ("ip vrf", &[(Sub, "")]),
    ("ip vrf exec", &[(Args, "- command")]),
    ("systemd-run", &[
        (Takes, "-p --property -u --unit --description --slice -E --setenv -H --host -M --machine --uid --gid --nice -d \
                 --working-directory --on-active --on-boot --on-calendar --on-startup --on-unit-active --on-unit-inactive \
                 --path-property --socket-property --timer-property --service-type --background"),
        (Args, "command"),
    ]),
    ("daemon,daemonize,supervise,nssm", &[(Takes, "-n -u -E -p -o -e -l -a -c -F -P -D -r -O -L --name --env"), (Args, "command")]),
    ("tmux,byobu", &[(Takes, "-f -L -S -c -T"), (Sub, "")]),
    ("tmux new,tmux new-session,tmux neww,tmux new-window,tmux split-window,tmux splitw,tmux respawn-pane,\
      tmux respawn-window,tmux run-shell,tmux run,tmux send-keys,tmux send,tmux if-shell,tmux if,tmux popup,\
      tmux display-popup,tmux pipe-pane", &[
        (Takes, "-s -n -c -t -F -x -y -e -l -p -w -h -b -f -T -N"),
        (Args, "code"),
    ]),
    ("screen", &[
        (Takes, "-S -t -c -s -T -e -h -p"),
        (Command, "-X"),
        (Flag, "-d -m -D -R -r -x -L"),
        (Args, "command"),
    ]),
    ("stuff", &[(Args, "code")]),
    ("xterm,uxterm,rxvt,urxvt,konsole", &[
        (Command, "-e -x"),
        (Takes, "-T -title -fn -geometry -bg -fg -name"),
    ]),
    ("gnome-terminal,xfce4-terminal,tilix", &[(Code, "-e --command"), (Command, "-x"), (Takes, "-t")]),
    ("aws-vault,chamber-exec,sops-exec", &[(Takes, "-d --duration --region"), (Sub, "")]),
    ("aws-vault exec", &[(Takes, "-d --duration --region -t --mfa-token"), (Args, "- command")]),
    ("sops", &[(Sub, "")]),
    ("sops exec-env,sops exec-file", &[(Args, "- code")]),
    ("foreman,honcho", &[(Takes, "-f -e -p -d"), (Sub, "")]),
    ("foreman run,honcho run", &[(Takes, "-e -f"), (Args, "command")]),
    ("tar,gtar", &[
        (Code, "-I --use-compress-program --to-command --rsh-command --info-script --new-volume-script -F"),
        (Takes, "-f -C -T -X -b -g -H -K -L -N -V"),
    ]),
    ("mprof", &[(Sub, ""), (Takes, "-o"), (Args, "weak")]),
    ("ld.so,ld-linux-x86-64.so,qemu-x86_64,qemu-aarch64", &[
        (Takes, "--library-path --preload --argv0 -L -E -U -cpu -g -s"),
        (Args, "command"),
    ]),
];
