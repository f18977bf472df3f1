//! Developer tools: version control, package managers, application servers.

use crate::forms::Form::{Args, Authority, Code, Flag, Letters, Plain, Secret, Sub, Takes, Words};
use crate::forms::FormRow;

#[rustfmt::skip]
pub(super) const TABLE: &[FormRow] = &[
    // Commit messages may mention passwords.
    ("git", &[(Letters, "Cc"), (Takes, "--git-dir --work-tree --namespace --exec-path"), (Sub, "")]),
    ("git commit,git tag,git merge,git stash", &[
        (Plain, "-m --message -F --file --author --date -C -t --template"),
    ]),
    ("git config", &[(Takes, "-f --file --blob --type --default"), (Flag, "--get --unset --add --replace-all"),
        (Args, "name value")]),
    ("git log,git grep,git shortlog,git rev-list", &[(Plain, "--grep --author -S -G -e")]),
    ("svn,svnadmin,svnsync", &[
        (Plain, "-m --message -F --file"),
        (Letters, "rc"),
    ]),
    ("hg", &[(Plain, "-m --message"), (Code, "-e --ssh"), (Letters, "Rur"), ]),
    ("cvs", &[(Authority, "-d"), (Plain, "-m"), (Letters, "zse")]),
    ("p4", &[(Secret, "-P"), (Letters, "pucCdHx")]),
    // Package managers.
    ("npm,yarn,pnpm,bun", &[(Takes, "--registry --prefix -w"), (Secret, "--otp"), (Sub, "")]),
    ("npm config,yarn config,pnpm config,npm token", &[(Sub, "")]),
    ("npm config set,yarn config set,pnpm config set,npm set,npm c", &[(Takes, "--location"), (Args, "name value")]),
    ("npm token revoke,npm token delete", &[(Args, "secret")]),
    ("pip,pipx,pip-compile", &[(Letters, "ircte"), (Takes, "--index-url --extra-index-url"), (Sub, "")]),
    ("pip config", &[(Sub, "")]),
    ("pip config set", &[(Args, "name value")]),
    ("twine", &[(Secret, "-p"), (Letters, "ruci")]),
    ("poetry", &[(Letters, "CP"), (Takes, "--directory --project"), (Sub, "")]),
    ("poetry publish", &[(Secret, "-p"), (Letters, "ur")]),
    ("poetry config", &[(Args, "name value value")]),
    ("poetry run,pipenv run,uv run,bundle exec,direnv exec", &[(Letters, "np"), (Takes, "--name --python --with --env-file"), (Args, "weak")]),
    ("pipenv,pdm,hatch,bundle,mise,asdf,direnv,devbox,pixi", &[(Sub, "")]),
    ("uv,uvx", &[(Takes, "-p --python --index --directory"), (Sub, "")]),
    ("uv publish", &[(Secret, "-t -p"), (Takes, "-u")]),
    ("gem", &[(Plain, "-k --key"), (Secret, "--otp"), ]),
    ("cargo", &[(Letters, "pZ"), (Takes, "--manifest-path --package --features --config"), (Sub, "")]),
    ("cargo login", &[(Takes, "--registry"), (Args, "secret")]),
    ("composer", &[(Takes, "-d --working-dir"), (Sub, "")]),
    ("composer config", &[(Flag, "-g --global -a --auth"), (Args, "name value value")]),
    ("dotnet", &[(Sub, "")]),
    ("dotnet nuget,dotnet user-secrets,dotnet dev-certs", &[(Sub, "")]),
    ("dotnet nuget push,dotnet nuget delete", &[(Secret, "-k -sk"), (Takes, "-s -ss")]),
    ("dotnet nuget add,dotnet nuget update", &[(Secret, "-p"), (Letters, "nu")]),
    ("dotnet user-secrets set", &[(Takes, "-p --project --id"), (Args, "- secret")]),
    ("nuget", &[(Words, ""), (Sub, "")]),
    ("nuget setapikey,nuget setApiKey", &[(Args, "secret"), (Words, "")]),
    ("mvn,mvnd,mvnw", &[(Secret, "-emp -ep"), (Words, "")]),
    // Application servers and content management.
    ("java,javaws,jshell", &[(Plain, "-javaagent"), (Words, "")]),
    ("jboss-cli,add-user,domain,standalone,elytron-tool,wildfly", &[(Secret, "-p"), (Letters, "ugrac")]),
    ("wp", &[(Secret, "--prompt-secret"), (Sub, "")]),
    ("wp config,wp option", &[(Sub, "")]),
    ("wp config set,wp option update,wp option add", &[(Args, "name value")]),
    ("drush,drupal", &[(Letters, "rl"), (Takes, "--root --uri"), (Sub, "")]),
    ("drush upwd,drush user:password,drush user-password,drush upw", &[(Args, "- secret"), ]),
    ("drush sql,drush cset,drush config:set,drush config-set", &[(Args, "- name value")]),
    ("occ,magento,artisan,console,symfony,craft", &[(Flag, "--password-from-env")]),
    ("ffmpeg,ffprobe,ffplay,x264,x265,HandBrakeCLI", &[
        (Plain, "-pass --pass"),
        (Secret, "-srtp_in_params -srtp_out_params"),
        (Words, ""),
    ]),
    ("kdialog,zenity,dialog,whiptail", &[(Plain, "--password --newpassword --passwordbox --insecure --title --text"),
        (Flag, "--hide-pass")]),
];
