//! A crate depends only on what stands below it.

use crate::tidy::manifest::Manifest;
use crate::tidy::place;
use crate::tidy::tree::File;
use crate::tidy::{Findings, Rule};

/// What each package may know of the others, from the bottom up.
const LAYERS: &[(&str, &[&str])] = &[
    ("steadfast-store", &[]),
    ("steadfast-checkpoints", &["steadfast-store"]),
    ("steadfast-leases", &["steadfast-store"]),
    ("steadfast-idempotency", &["steadfast-store"]),
    ("steadfast-recovery", &["steadfast-store", "steadfast-checkpoints", "steadfast-leases"]),
    ("steadfast-schedules", &["steadfast-store", "steadfast-idempotency"]),
    (
        "steadfast",
        &[
            "steadfast-store",
            "steadfast-checkpoints",
            "steadfast-leases",
            "steadfast-recovery",
            "steadfast-idempotency",
        ],
    ),
    (
        "steadfast-chaos",
        &[
            "steadfast-store",
            "steadfast-checkpoints",
            "steadfast-leases",
            "steadfast-recovery",
            "steadfast-idempotency",
            "steadfast",
        ],
    ),
    (XTASK, &[]),
];

/// May not depend on other people's crates either.
const XTASK: &str = "xtask";

/// The row in the table.
pub(crate) const RULE: Rule = Rule {
    name: "layers",
    forbids: "a dependency on a crate that does not stand below; any dependency of xtask",
    allowed: "development dependencies",
    check,
};

fn check(file: &File, findings: &mut Findings) {
    if place::name(&file.path) != "Cargo.toml" {
        return;
    }
    let manifest = Manifest::parse(&file.text);
    for shared in &manifest.shared {
        // A package that inherits it shows the new name only.
        if is_ours(shared.name()) && shared.name() != shared.key {
            findings.add(
                shared.line,
                format!("call `{}` by its own name, or no layer can be checked", shared.name()),
            );
        }
    }
    let Some((package, line)) = &manifest.package else { return };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| name == package) else {
        findings.add(
            *line,
            format!("no layer is known for `{package}`; add it to LAYERS in xtask/src/tidy/rules/layers.rs"),
        );
        return;
    };
    for dependency in &manifest.dependencies {
        let name = dependency.name();
        if package == XTASK {
            findings.add(
                dependency.line,
                format!("remove `{name}`: xtask needs nothing but the standard library"),
            );
        } else if is_ours(name) && !below.contains(&name) {
            findings.add(dependency.line, format!("remove `{name}`: it does not stand below `{package}`"));
        }
    }
}

fn is_ours(package: &str) -> bool {
    package == "steadfast" || package == XTASK || package.starts_with("steadfast-")
}

#[cfg(test)]
mod tests {
    use super::LAYERS;
    use crate::tidy::testing::broken;

    fn manifest(package: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{package}\"\n{dependencies}")
    }

    #[test]
    fn each_pair_of_packages_is_allowed_or_found() {
        for (package, below) in LAYERS {
            for (other, _) in LAYERS {
                let expected: &[_] = if below.contains(other) { &[] } else { &[("layers", 4)] };
                let text = manifest(package, &format!("[dependencies]\n{other}.workspace = true\n"));
                assert_eq!(broken("crates/a/Cargo.toml", &text), expected, "{package} on {other}");
            }
        }
    }

    #[test]
    fn no_layer_stands_on_itself_through_another() {
        for (index, (package, below)) in LAYERS.iter().enumerate() {
            for other in *below {
                let place = LAYERS.iter().position(|(name, _)| name == other);
                assert!(place.is_some_and(|place| place < index), "{package} on {other}");
            }
        }
    }

    #[test]
    fn every_kind_of_dependency_counts_but_those_of_tests() {
        for (section, line) in [
            ("[dependencies.steadfast-leases]\nworkspace = true\n", 3),
            ("[target.'cfg(unix)'.dependencies]\nsteadfast-leases.workspace = true\n", 4),
            ("[build-dependencies]\nsteadfast-leases.workspace = true\n", 4),
            ("[dependencies]\nl = { path = \"../l\", package = \"steadfast-leases\" }\n", 4),
        ] {
            let text = manifest("steadfast-checkpoints", section);
            assert_eq!(broken("crates/checkpoints/Cargo.toml", &text), [("layers", line)], "{section}");
        }
        let text =
            manifest("steadfast-checkpoints", "[dev-dependencies]\nsteadfast-leases.workspace = true\n");
        assert_eq!(broken("crates/checkpoints/Cargo.toml", &text), []);
    }

    #[test]
    fn xtask_may_depend_on_nothing_and_the_others_on_other_peoples_crates() {
        let outside = "[dependencies]\nserde = \"1\"\n";
        assert_eq!(broken("xtask/Cargo.toml", &manifest("xtask", outside)), [("layers", 4)]);
        assert_eq!(broken("crates/store/Cargo.toml", &manifest("steadfast-store", outside)), []);
    }

    #[test]
    fn an_unknown_package_and_a_new_name_for_ours_are_found() {
        assert_eq!(broken("crates/a/Cargo.toml", &manifest("steadfast-new", "")), [("layers", 2)]);
        let renamed = "[workspace.dependencies]\nstore = { path = \"s\", package = \"steadfast-store\" }\n";
        assert_eq!(broken("Cargo.toml", renamed), [("layers", 2)]);
    }
}
