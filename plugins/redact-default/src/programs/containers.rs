//! Containers and their orchestration.

use crate::forms::Form::{
    Args, Entry, Flag, Letters, List, Literal, Pair, Plain, Secret, Sub, Takes,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    ("docker,podman,nerdctl", &[
        (Pair, "--creds"),
        (Letters, "Hcln"), (Takes, "--host --context --config --log-level --tlscacert --tlscert --tlskey --namespace --root \
                 --runroot --url --connection --identity --log-opt"),
        (Sub, ""),
    ]),
    ("docker container,docker buildx,docker service", &[(Sub, "")]),
    ("docker login,helm registry login,crane auth login,cosign login", &[
        (Secret, "-p"),
        (Takes, "-u"),
    ]),
    ("docker run,docker create,docker container run", &[
        (Letters, "acehlmpuvw"), (Takes, "--add-host --cap-add --cap-drop --cpus --device --dns --env --env-file --expose --gpus --hostname --ip --label --link --log-driver --memory --mount --name --net --network --pid --platform --publish --pull --restart --runtime --security-opt --shm-size --tmpfs --ulimit --user --userns --volume --volumes-from --workdir --pod"),
        (Plain, "--secret"),
        (Pair, "--creds"),
        (Entry, "--entrypoint"),
        (Args, "- command"),
    ]),
    ("docker exec,docker container exec,docker compose exec,docker compose run,buildah run", &[
        (Letters, "euwvpl"), (Takes, "--env --user --workdir --detach-keys --env-file --index --volume --publish --name --label"),
        (Entry, "--entrypoint"),
        (Args, "- command"),
    ]),
    ("docker build,docker buildx build", &[
        (Plain, "--secret --ssh -t --tag -f --file"),
        (Takes, "-o"),
    ]),
    ("docker service create,docker service update", &[
        (Plain, "--secret --secret-add --secret-rm"),
        (Letters, "ep"),
    ]),
    ("docker compose,docker-compose,podman-compose", &[
        (Letters, "fp"), (Takes, "--file --project-name --profile --env-file --project-directory --ansi"),
        (Sub, ""),
    ]),
    ("buildah,skopeo,crane,regctl,oras,cosign", &[
        (Pair, "--creds --src-creds --dest-creds --screds --dcreds"),
        (Plain, "--key"),
        (Sub, ""),
    ]),
    ("crane auth,regctl registry", &[(Sub, "")]),
    ("ctr,crictl", &[(Pair, "-u --user --creds"), (Secret, "--auth"), (Letters, "nari"), (Takes, "--namespace --address"), (Sub, "")]),
    ("kubectl,oc,microk8s.kubectl,k", &[
        (Letters, "nsvfloct"), (Takes, "--namespace --context --cluster --kubeconfig --server --user --as"),
        (Sub, ""),
    ]),
    ("kubectl exec,kubectl rsh", &[
        (Letters, "cnf"), (Takes, "--container --namespace --context --kubeconfig --filename --pod-running-timeout"),
        (Args, "- command"),
    ]),
    ("kubectl run,kubectl debug", &[
        (Letters, "nlo"),
        (Flag, "--command --rm -i -t -it"),
    ]),
    ("kubectl create", &[(Letters, "nfo"), (Takes, "--namespace"), (Sub, "")]),
    ("kubectl create secret", &[
        (Literal, "--from-literal"),
        (Takes, "-n --key"),
    ]),
    ("kubectl login", &[(Secret, "-p"), (Takes, "-u")]),
    ("k3s,k0s,rke2", &[(Secret, "-t"), (Letters, "scd"), (Takes, "--server"), (Sub, "")]),
    ("k3s kubectl", &[(Letters, "nf"), (Takes, "--namespace"), (Args, "weak")]),
    ("kubeadm", &[(Secret, "--certificate-key"), (Sub, "")]),
    ("helm", &[
        (List, "--set --set-string --set-literal --set-json"),
        (Letters, "nf"), (Takes, "--namespace --values --version --set-file --kube-context --username"),
        (Sub, ""),
    ]),
    ("helm registry", &[(Sub, "")]),
    ("argocd", &[(Takes, "--server -p --parameter"), (Sub, "")]),
    ("nomad", &[(Takes, "-address -region"), (Sub, "")]),
    ("lxc,incus", &[(Sub, "")]),
    ("lxc exec,incus exec", &[(Takes, "--env --cwd --user --group --mode"), (Args, "- command")]),
];
