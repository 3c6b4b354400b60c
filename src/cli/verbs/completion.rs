//! `kiln completion`: a script that makes a shell complete this command, names of instances and images included.

use super::super::api;
use super::super::catalogs::{self, Folders, Subscriptions};
use super::super::error::CommandError;
use super::super::{Cli, Context};
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

/// Print a completion script for a shell.
///
/// Under bash and fish it completes names of instances and images too, as the daemon knows them.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln completion bash > /etc/bash_completion.d/kiln
  kiln completion zsh > /usr/local/share/zsh/site-functions/_kiln
  kiln completion fish > ~/.config/fish/completions/kiln.fish")]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

/// What `kiln names` lists, for completion scripts.
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    before_help = "\
Examples:
  kiln names instances"
)]
pub struct NamesArguments {
    noun: Noun,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Noun {
    Instances,
    Images,
    /// What the catalogs offer.
    Offers,
}

/// Verbs whose first words are instances.
const OF_INSTANCES: &str = "console logs ssh connect start stop reboot replace-root rm wait why timeline tag untag";

pub(in super::super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "kiln", &mut script);
    context.out.bytes(&script)?;
    match arguments.shell {
        Shell::Bash => context
            .out
            .bytes(BASH.replace("OF_INSTANCES", &OF_INSTANCES.replace(' ', "|")).as_bytes()),
        Shell::Fish => context.out.bytes(FISH.replace("OF_INSTANCES", OF_INSTANCES).as_bytes()),
        _ => Ok(()),
    }
}

/// Where a word is no option and its verb takes instances or images, the daemon's names; else what clap knows.
const BASH: &str = r#"
_kiln_with_names() {
    local word verb noun=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] || { verb=$word; break; }
    done
    case $verb in
        OF_INSTANCES) noun=instances ;;
        run|export) noun=images ;;
        pull) noun=offers ;;
    esac
    if [[ -n $noun && $2 != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(kiln names "$noun" 2> /dev/null)" -- "$2")
    else
        _kiln "$@"
    fi
}
complete -F _kiln_with_names -o nosort -o bashdefault -o default kiln
"#;

const FISH: &str = r#"
complete -c kiln -n "__fish_seen_subcommand_from OF_INSTANCES" -f -a "(kiln names instances 2> /dev/null)"
complete -c kiln -n "__fish_seen_subcommand_from run" -f -a "(kiln names images 2> /dev/null)"
complete -c kiln -n "__fish_seen_subcommand_from pull" -f -a "(kiln names offers 2> /dev/null)"
complete -c kiln -n "__fish_seen_subcommand_from export" -a "(kiln names images 2> /dev/null)"
"#;

/// Lists what instances, images or offers of catalogs may be called by: names and identifiers, one a line. A name that a shell would take
/// apart is left out.
pub(in super::super) async fn names(context: &Context, arguments: NamesArguments) -> Result<(), CommandError> {
    let pairs: Vec<(String, String)> = match arguments.noun {
        Noun::Instances => {
            let live = api::instances(&context.client)
                .await?
                .into_iter()
                .filter(|one| !one.is_terminated());
            live.map(|one| (one.name().to_string(), one.instance_id)).collect()
        }
        Noun::Images => {
            let machines = api::images(&context.client)
                .await?
                .into_iter()
                .filter(api::Image::is_machine);
            machines.map(|one| (one.name, one.image_id)).collect()
        }
        Noun::Offers => {
            let folders = Folders::of_user()?;
            let all = catalogs::offered(&folders, &Subscriptions::read(&folders)?)?;
            let named = all.into_iter().map(|one| {
                let whole = format!("{}/{}", one.subscription.name, one.offer.name);
                (one.offer.name, whole)
            });
            named.collect()
        }
    };
    let words = pairs
        .iter()
        .flat_map(|(name, id)| [name, id])
        .filter(|word| is_word(word));
    words.into_iter().try_for_each(|word| context.out.line(word))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/@+".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_of_instances_exists() {
        let command = Cli::command();
        for verb in OF_INSTANCES.split(' ') {
            assert!(command.find_subcommand(verb).is_some(), "{verb}");
        }
    }

    #[test]
    fn a_name_that_a_shell_would_take_apart_is_left_out() {
        assert!(is_word("debian-12") && is_word("i-0abc"));
        for text in ["", "a b", "$(reboot)", "a;b", "a\nb", "a'b"] {
            assert!(!is_word(text), "{text:?}");
        }
    }
}
