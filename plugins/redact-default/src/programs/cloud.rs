//! Clouds and their secret stores, infrastructure as code, storage for backups.

use crate::forms::Form::{
    Args, Code, Conninfo, Flag, Letters, List, Named, Pair, Plain, Secret, Sub, Takes, Words,
};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    ("aws,awslocal", &[(Takes, "--region --profile --output --endpoint-url"), (Plain, "--secret-id"),
        (List, "--auth-parameters --environment-variables"), (Sub, "")]),
    ("aws ssm,aws configure", &[(Sub, "")]),
    ("aws ssm put-parameter", &[(Secret, "--value"), (Takes, "--key-id")]),
    ("aws configure set", &[(Args, "name value")]),
    ("az", &[(Letters, "gno"), (Takes, "--subscription"), (Plain, "--secret-name"), (Sub, "")]),
    ("az acr,az sql,az mysql,az postgres,az keyvault", &[(Sub, "")]),
    ("az sql server,az mysql server,az postgres server,az keyvault secret", &[(Sub, "")]),
    ("az login,az acr login,az sql server create,az mysql server create,\
      az postgres server create", &[
        (Secret, "-p --storage-key"),
        (Letters, "utgnls"),
    ]),
    ("az keyvault secret set", &[(Secret, "--value"), (Letters, "nf")]),
    ("gcloud,gsutil,bq", &[(Code, "--command"), (Takes, "--project --zone --region -o"), (Sub, "")]),
    ("doctl", &[(Secret, "-t"), (Letters, "cou"), (Sub, "")]),
    ("cf,cf7,cf8", &[(Sub, "")]),
    ("cf auth", &[(Args, "- secret")]),
    ("cf set-env", &[(Args, "- name value")]),
    ("vault,bao", &[
        (Takes, "-address -namespace -method -path -mount -ca-cert -format -field -policy -ttl"),
        (Words, ""),
        (Sub, ""),
    ]),
    ("vault login", &[(Takes, "-method -path -address -namespace"), (Args, "token - -"), (Words, "")]),
    ("vault operator,vault token,vault kv,vault lease,vault auth", &[(Words, ""), (Sub, "")]),
    ("vault operator unseal", &[(Args, "secret"), (Words, "")]),
    ("vault token lookup,vault token renew,vault token revoke,vault token capabilities", &[
        (Takes, "-increment -format"), (Args, "token"), (Words, "")]),
    ("vault kv put,vault kv patch", &[(Takes, "-mount -cas"), (Args, "- literal literal *"), (Words, "")]),
    ("vault unwrap", &[(Args, "secret"), (Words, "")]),
    ("pulumi", &[(Letters, "sC"), (Takes, "--stack --cwd"), (Sub, "")]),
    ("pulumi config", &[(Takes, "-s --stack"), (Sub, "")]),
    ("pulumi config set", &[(Named, "--secret"), (Flag, "--plaintext --path"), (Takes, "-s --stack"), (Args, "name value")]),
    ("ansible,ansible-playbook,ansible-console,ansible-pull,ansible-inventory,ansible-doc,ansible-test", &[
        (Conninfo, "-e --extra-vars"),
        (Code, "-a --args"),
        (Flag, "-k -K --ask-pass --ask-become-pass"),
        (Letters, "imultfcTMUCd"),
    ]),
    ("salt,salt-call,salt-ssh,salt-run", &[
        (Letters, "actblGE"), (Takes, "--username --out --pillar"),
        (Args, "- - code"),
    ]),
    ("knife,chef-run", &[(Secret, "-P"), (Letters, "xiNrEsp")]),
    ("vagrant", &[(Sub, "")]),
    ("vagrant ssh", &[(Code, "-c --command"), (Args, "- weak")]),
    // Storage and backups. Options like `--sftp-pass` have the names of secrets.
    ("mc,mcli", &[(Takes, "-C --config-dir"), (Sub, "")]),
    ("mc alias,mc admin,mc config", &[(Sub, "")]),
    ("mc alias set", &[(Args, "- - - secret")]),
    ("mc admin user", &[(Sub, "")]),
    ("mc admin user add", &[(Args, "- - secret")]),
    ("rclone", &[(Code, "--password-command"), (Takes, "--config --filter"), (Sub, "")]),
    ("rclone obscure,rclone reveal", &[(Args, "secret")]),
    ("rclone config", &[(Sub, "")]),
    ("rclone config create", &[(Args, "- - name value *")]),
    ("rclone config update,rclone config password", &[(Args, "- name value *")]),
    ("restic,kopia", &[(Code, "--password-command"), (Letters, "rpo"), (Plain, "--password-file")]),
    ("borg,borgmatic", &[(Code, "--rsh --remote-path"), (Letters, "eCaP")]),
    ("gh", &[(Takes, "-R --repo"), (Sub, "")]),
    ("gh secret,gh auth", &[(Sub, "")]),
    ("gh secret set", &[(Secret, "-b --body"), (Letters, "Reof")]),
    ("gh release,gh pr,gh issue", &[(Plain, "-b --body -t --title -n --notes")]),
    ("glab", &[(Takes, "-R --repo"), (Sub, "")]),
    ("glab auth,glab variable", &[(Sub, "")]),
    ("glab auth login", &[(Secret, "-t"), (Takes, "-h")]),
    ("glab variable set,glab variable update", &[(Secret, "-v --value"), (Letters, "tsg"), (Takes, "--type --scope"), (Args, "- secret")]),
    ("jenkins-cli", &[(Pair, "-auth"), (Words, "")]),
    ("snyk,sentry-cli", &[(Secret, "-t"), (Sub, "")]),
    ("snyk auth", &[(Args, "secret")]),
    ("tailscale,tailscaled", &[(Plain, "--login-server"), ]),
    ("kcadm", &[(Secret, "-p -t"), (Letters, "sru"), (Takes, "--user"), (Sub, "")]),
];
