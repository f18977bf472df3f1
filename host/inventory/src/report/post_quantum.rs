//! What is known of the post-quantum ability of libraries: data/post-quantum.json.

use serde::Deserialize;

const DATA: &str = include_str!("../../data/post-quantum.json");

#[derive(Deserialize)]
struct Product {
    libraries: Vec<String>,
    product: String,
    /// Newest first.
    versions: Vec<Since>,
}

#[derive(Deserialize)]
struct Since {
    from: String,
    ability: Ability,
    text: String,
}

/// Whether a library has post-quantum algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ability {
    /// It has them.
    Yes,
    /// With an additional module.
    Provider,
    /// Depends on how it was built.
    Build,
    /// It has none.
    No,
    /// Not known.
    Unknown,
}

impl Ability {
    /// A word that also names the style.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ability::Yes => "yes",
            Ability::Provider => "provider",
            Ability::Build => "build",
            Ability::No => "no",
            Ability::Unknown => "unknown",
        }
    }
}

/// The table of products.
pub(super) struct PostQuantum(Vec<Product>);

impl PostQuantum {
    pub(super) fn load() -> PostQuantum {
        // A test reads the table, so it is not empty.
        PostQuantum(serde_json::from_str(DATA).unwrap_or_default())
    }

    /// Returns what is known of this library.
    pub(super) fn of(&self, library: &str, version: Option<&str>) -> (Ability, String) {
        let named = |it: &&Product| it.libraries.iter().any(|name| name == library);
        let Some(product) = self.0.iter().find(named) else {
            return (Ability::Unknown, "not known".to_owned());
        };
        let Some(version) = version.map(numbers) else {
            return (Ability::Unknown, "its version is not known".to_owned());
        };
        let since = product.versions.iter().find(|since| numbers(&since.from) <= version);
        match since {
            Some(since) => (since.ability, format!("{}: {}", product.product, since.text)),
            None => (Ability::Unknown, "not known".to_owned()),
        }
    }
}

/// The numbers at the start of a version: `3.0.15-1~deb12u1` is 3, 0, 15. Ignores a Debian epoch and the words before the numbers.
fn numbers(version: &str) -> Vec<u64> {
    let version = version.rsplit(' ').next().unwrap_or_default();
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let (numbers, _) = version.split_at(end);
    numbers.split('.').map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let table = PostQuantum::load();
        assert!(table.0.len() >= 6);
        for (library, version, ability) in [
            ("libssl", "3.5.1", Ability::Yes),
            ("libssl", "3.5.1-1+deb13u1", Ability::Yes),
            ("libcrypto", "OpenSSL 3.10.0", Ability::Yes),
            ("libcrypto", "3.0.15-1~deb12u1", Ability::Provider),
            ("libcrypto", "1.1.1w", Ability::No),
            ("libnss3", "2:3.87.1-1", Ability::No),
            ("libgcrypt", "1.11.0", Ability::Yes),
            ("libfoo", "1", Ability::Unknown),
        ] {
            assert_eq!(table.of(library, Some(version)).0, ability, "{library} {version}");
        }
        assert_eq!(table.of("libssl", None).0, Ability::Unknown);
        for product in &table.0 {
            let from: Vec<_> = product.versions.iter().map(|it| numbers(&it.from)).collect();
            assert!(from.windows(2).all(|pair| pair[0] > pair[1]), "{}", product.product);
        }
    }
}
