//! Profiles: servers by name in `~/.config/coursevault/profiles.toml`, so that nobody types addresses and tokens.
//!
//! What is given as an argument or in the environment counts before what a profile says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Deserialize;

use super::args::Global;
use super::failure::Usage;
use crate::ids::SiteId;

/// The server without any configuration.
const SERVER: &str = "http://127.0.0.1:50051";

/// Servers by name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Profiles {
    /// The profile without `--profile`.
    default: Option<String>,
    /// Each.
    profiles: BTreeMap<String, Profile>,
}

/// A server and who one is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Profile {
    server: Option<String>,
    site: Option<SiteId>,
    token: Option<SecretString>,
    /// A file that holds the token.
    token_file: Option<PathBuf>,
}

/// Where to connect, as whom.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub server: String,
    /// The site that short names belong to.
    pub site: SiteId,
    /// The token, if there is one.
    pub token: Option<SecretString>,
}

/// The folder for profiles: `$XDG_CONFIG_HOME/coursevault` or `~/.config/coursevault`.
fn folder() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    config.map(|config| config.join("coursevault"))
}

/// What arguments, environment and profile come to.
pub fn target(global: &Global) -> anyhow::Result<Target> {
    let path = folder().map(|folder| folder.join("profiles.toml"));
    let profiles = match &path {
        Some(path) if path.exists() => read(path)?,
        _ => Profiles::default(),
    };
    resolve(global, &profiles, path.as_deref())
}

fn read(path: &Path) -> anyhow::Result<Profiles> {
    let source = config::File::from(path).format(config::FileFormat::Toml);
    let read = config::Config::builder().add_source(source).build();
    let profiles = read.and_then(config::Config::try_deserialize);
    Ok(profiles.map_err(|error| Usage(format!("{}: {error}", path.display())))?)
}

fn resolve(global: &Global, profiles: &Profiles, path: Option<&Path>) -> anyhow::Result<Target> {
    let name = global.profile.as_ref().or(profiles.default.as_ref());
    let profile = match name {
        None => Profile::default(),
        Some(name) => profiles.profiles.get(name).cloned().ok_or_else(|| {
            let place = path.map_or_else(|| "the profiles".to_owned(), |path| path.display().to_string());
            Usage(format!("there is no profile {name:?} in {place}"))
        })?,
    };
    // A token belongs to its server: one that a profile has is not shown to another.
    let is_its_server = global.server.is_none() || global.server == profile.server;
    let kept = match (profile.token, profile.token_file) {
        _ if !is_its_server || global.token.is_some() => None,
        (Some(token), _) => Some(token),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            Some(SecretString::from(text.trim().to_owned()))
        }
        (None, None) => None,
    };
    let main = || "main".parse::<SiteId>().map_err(anyhow::Error::from);
    Ok(Target {
        server: global.server.clone().or(profile.server).unwrap_or_else(|| SERVER.to_owned()),
        site: match global.site.clone().or(profile.site) {
            Some(site) => site,
            None => main()?,
        },
        token: global.token.clone().or(kept),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn global(server: Option<&str>, profile: Option<&str>) -> Global {
        Global {
            server: server.map(str::to_owned),
            site: None,
            token: None,
            profile: profile.map(str::to_owned),
            json: false,
        }
    }

    fn profiles() -> anyhow::Result<Profiles> {
        let folder = tempfile::tempdir()?;
        let (path, token) = (folder.path().join("profiles.toml"), folder.path().join("token"));
        std::fs::write(&token, "s3cret\n")?;
        let text = format!(
            "default = \"lyon\"\n[profiles.lyon]\nserver = \"http://lyon:1\"\nsite = \"lyon\"\ntoken = \"a\"\n\
             [profiles.paris]\nserver = \"http://paris:1\"\ntoken_file = {token:?}\n"
        );
        std::fs::write(&path, text)?;
        let profiles = read(&path)?;
        let paris = resolve(&global(None, Some("paris")), &profiles, None)?;
        assert_eq!(paris.token.as_ref().map(|token| token.expose_secret()), Some("s3cret"));
        std::fs::write(&path, "[profiles.lyon]\nservre = \"x\"\n")?;
        assert!(read(&path).is_err_and(|error| error.is::<Usage>()));
        Ok(profiles)
    }

    #[test]
    fn arguments_count_before_profiles_and_tokens_stay_with_their_server() -> anyhow::Result<()> {
        let profiles = profiles()?;
        let lyon = resolve(&global(None, None), &profiles, None)?;
        assert_eq!((lyon.server.as_str(), lyon.site.as_str()), ("http://lyon:1", "lyon"));
        assert!(lyon.token.is_some());
        let other = resolve(&global(Some("http://other:1"), None), &profiles, None)?;
        assert_eq!(other.server, "http://other:1");
        assert!(other.token.is_none(), "lyon's token is not shown to others");
        let unknown = resolve(&global(None, Some("nancy")), &profiles, None);
        assert!(unknown.is_err_and(|error| error.is::<Usage>()));
        let none = resolve(&global(None, None), &Profiles::default(), None)?;
        assert_eq!((none.server.as_str(), none.site.as_str()), (SERVER, "main"));
        Ok(())
    }
}
