//! Genuine archives of a Moodle are read, and written again with the same members.

use std::path::Path;

use super::write::{archive_of, tree_of};
use super::*;

#[test]
fn archives_of_a_real_moodle_are_read_and_written_again() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    // Files as other readers count them, without folders and without the index.
    for (name, container, files) in [
        ("gen_s-nf", Container::TarGz, 824),
        ("gen_xs-full", Container::TarGz, 93),
        ("gen_xs-nu", Container::Zip, 75),
        ("rich101-activity-assign-nu", Container::TarGz, 21),
        ("rich101-activity-quiz", Container::TarGz, 41),
        ("rich101-full-tgz", Container::TarGz, 581),
        ("rich101-full-zip", Container::Zip, 581),
        ("rich101-nf", Container::TarGz, 500),
        ("rich101-noactivities", Container::TarGz, 118),
        ("rich101-section3", Container::TarGz, 109),
    ] {
        let bytes = std::fs::read(folder.join(name).with_extension("mbz"))?;
        let mut sink = Collector::default();
        let summary = read_archive(bytes.as_slice(), &Limits::default(), &mut sink)?;
        assert_eq!((summary.container, summary.members), (container, files), "{name}");
        let (tree, encoded) = tree_of(&sink.members)?;
        for container in [Container::Zip, Container::TarGz] {
            let written = archive_of(&tree, &encoded, container);
            let mut again = Collector::default();
            read_archive(written.as_slice(), &Limits::default(), &mut again)?;
            let mut expected = contents(&sink.members);
            expected.sort_by_key(|(path, _)| (*path != MemberPath::MANIFEST, *path));
            assert_eq!(contents(&again.members), expected, "{name}");
        }
    }
    Ok(())
}
