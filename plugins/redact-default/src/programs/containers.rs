//! Containers and their orchestration.

use crate::forms::Form::{
    Args, Command, Entry, Flag, List, Literal, Pair, Plain, Secret, Sub, Takes,
};
use crate::forms::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    ("docker,podman,nerdctl", &[
        (Pair, "--creds"),
        (Takes, "-H --host -c --context --config -l --log-level --tlscacert --tlscert --tlskey --namespace -n \
                 --root --runroot --url --connection --identity --log-opt"),
        (Sub, ""),
    ]),
    ("docker container,docker image,docker buildx,docker builder,docker swarm,docker service,docker secret,\
      docker pod,docker plugin,docker stack,docker config", &[(Sub, "")]),
    ("docker login,docker container login,buildah login,skopeo login,oras login,helm registry login,crane auth login,\
      regctl registry login,cosign login,nerdctl login", &[
        (Secret, "-p --password --pass"),
        (Takes, "-u"),
    ]),
    ("docker run,docker create,docker container run,docker container create", &[
        (Takes, "-a -c -e -h -l -m -p -u -v -w --add-host --attach --annotation --blkio-weight --build-arg --cap-add \
                 --cap-drop --cgroup-parent --cgroupns --cidfile --cpu-period --cpu-quota --cpu-shares --cpus \
                 --cpuset-cpus --cpuset-mems --device --device-cgroup-rule --dns --dns-option --dns-search \
                 --domainname --env --env-file --expose --gpus --group-add --health-cmd --health-interval \
                 --health-retries --health-timeout --hostname --ip --ip6 --ipc --isolation --label --label-file --link \
                 --log-driver --log-opt --mac-address --memory --memory-swap --mount --name --net --network \
                 --network-alias --oom-score-adj --pid --pids-limit --platform --publish --pull --restart --runtime \
                 --security-opt --shm-size --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs --ulimit --user \
                 --userns --uts --volume --volume-driver --volumes-from --workdir --pod --requires --systemd --authfile \
                 --arch --os --variant --umask --timezone --hooks-dir --conmon-pidfile --subuidname --uidmap --gidmap"),
        (Plain, "--secret"),
        (Pair, "--creds"),
        (Entry, "--entrypoint"),
        (Args, "- command"),
    ]),
    ("docker exec,docker container exec,docker compose exec,docker-compose exec,docker compose run,docker-compose run,\
      crictl exec,buildah run", &[
        (Takes, "-e --env -u --user -w --workdir --detach-keys --env-file --index -v --volume -p --publish --name -l \
                 --label"),
        (Entry, "--entrypoint"),
        (Args, "- command"),
    ]),
    ("docker build,docker buildx build,docker image build,docker builder build,buildah bud,buildah build", &[
        (Plain, "--secret --ssh -t --tag -f --file"),
        (Takes, "-o"),
    ]),
    ("docker service create,docker service update,docker stack deploy", &[
        (Plain, "--secret --secret-add --secret-rm"),
        (Takes, "-e -p"),
    ]),
    ("docker compose,docker-compose,podman-compose", &[
        (Takes, "-f --file -p --project-name --profile --env-file --project-directory --ansi"),
        (Sub, ""),
    ]),
    ("buildah,skopeo,crane,regctl,oras,cosign", &[
        (Pair, "--creds --src-creds --dest-creds --screds --dcreds"),
        (Secret, "--dest-registry-token --src-registry-token --registry-token --registry-password --src-password \
                  --dest-password"),
        (Plain, "--key"),
        (Sub, ""),
    ]),
    ("crane auth,regctl registry", &[(Sub, "")]),
    ("ctr,crictl", &[(Pair, "-u --user --creds"), (Secret, "--auth"), (Takes, "-n -a -r -i --namespace --address"), (Sub, "")]),
    ("kubectl,oc,microk8s.kubectl,k", &[
        (Takes, "-n --namespace --context --cluster --kubeconfig -s --server --user --as -v -f -l -o -c -t"),
        (Sub, ""),
    ]),
    ("kubectl exec,kubectl rsh", &[
        (Takes, "-c --container -n --namespace --context --kubeconfig -f --filename --pod-running-timeout"),
        (Args, "- command"),
    ]),
    ("kubectl run,kubectl debug", &[
        (Takes, "-n -l -o"),
        (Flag, "--command --rm -i -t -it"),
    ]),
    ("kubectl create", &[(Takes, "-n --namespace -f -o"), (Sub, "")]),
    ("kubectl create secret", &[
        (Literal, "--from-literal"),
        (Secret, "--docker-password"),
        (Takes, "-n --key"),
    ]),
    ("kubectl login", &[(Secret, "-p --password --token"), (Takes, "-u")]),
    ("kubectl new-app,kubectl process", &[(Takes, "-p -e -l -n"), (Plain, "--source-secret")]),
    ("kubectl secrets", &[(Sub, "")]),
    ("kubectl secrets new-basicauth,kubectl secrets new-dockercfg", &[(Secret, "--password --docker-password")]),
    ("k3s,k0s,rke2", &[(Secret, "-t --token --agent-token --token-secret"), (Takes, "-s --server -c -d"), (Sub, "")]),
    ("k3s kubectl", &[(Takes, "-n --namespace -f"), (Args, "weak")]),
    ("minikube,microk8s", &[(Args, "weak")]),
    ("kubeadm", &[(Secret, "--token --certificate-key --tls-bootstrap-token --discovery-token"), (Sub, "")]),
    ("kubeadm token", &[(Sub, "")]),
    ("kubeadm token create,kubeadm token delete", &[(Args, "secret")]),
    ("helm", &[
        (List, "--set --set-string --set-literal --set-json"),
        (Takes, "-n --namespace -f --values --version --set-file --kube-context --username"),
        (Sub, ""),
    ]),
    ("helm registry", &[(Sub, "")]),
    ("helm cm-push,helm push", &[(Secret, "-p --password"), (Takes, "-u -v")]),
    ("argocd", &[(Secret, "--auth-token --password"), (Takes, "--server -p --parameter"), (Sub, "")]),
    ("rancher", &[(Secret, "-t --token"), (Sub, "")]),
    ("nomad", &[(Secret, "-token --token"), (Takes, "-address -region"), (Sub, "")]),
    ("nomad alloc", &[(Sub, "")]),
    ("nomad alloc exec", &[(Takes, "-task -job"), (Args, "- command")]),
    ("lxc,incus", &[(Sub, "")]),
    ("lxc exec,incus exec", &[(Takes, "--env --cwd --user --group --mode"), (Args, "- command")]),
    ("lxc-attach,lxc-execute,lxc-start", &[(Takes, "-n --name -P -e -s -v -u -g --set-var"), (Args, "weak")]),
    ("pct,vzctl,qm", &[(Sub, ""), (Secret, "--cipassword")]),
    ("pct exec,vzctl exec,vzctl exec2", &[(Args, "- command")]),
    ("qm set", &[(Secret, "--cipassword -cipassword")]),
    ("multipass", &[(Sub, "")]),
    ("multipass exec", &[(Takes, "-d"), (Args, "- command")]),
    ("machinectl", &[(Sub, ""), (Takes, "-M --machine")]),
    ("machinectl shell", &[(Takes, "-E --setenv --uid -M"), (Args, "- command")]),
    ("systemd-nspawn", &[(Takes, "-D -M -u -E --setenv -b -i --directory --machine --user --bind"), (Args, "command")]),
    ("runc,crun,youki", &[(Sub, "")]),
    ("runc exec,crun exec", &[(Takes, "-e --env -u --user --cwd -p --pid-file -c"), (Args, "- command")]),
    ("singularity,apptainer", &[(Flag, "--passphrase"), (Takes, "-B --bind --env"), (Sub, "")]),
    ("singularity exec,apptainer exec", &[(Takes, "-B --bind --env -H --home --pwd -W"), (Args, "- command")]),
    ("distrobox", &[(Takes, "-c -n"), (Command, "-e")]),
    ("flatpak-spawn", &[(Takes, "--env --directory"), (Args, "command")]),
];
