//! Who is not who he seems, who is left out, and archives that contradict themselves.

use std::collections::BTreeSet;

use super::super::*;
use super::world::*;
use super::{FAR, RICH, check};
use crate::format::{Format, Kind};
use crate::job::Severity;
use crate::renumber::{IdMap, Survey};
use crate::restore::Target;
use crate::restore::groups::GroupDecision;
use crate::restore::questions::BankPlace;
use crate::restore::sections::SectionDecision;
use crate::restore::users::{Account, Conflict, Mapping, Rule, UserDecision};

fn kind(name: &str) -> Kind {
    Format::embedded().kind(name).expect("a kind")
}

fn left_out(plan: &Plan, name: &str) -> Vec<i64> {
    plan.left_out.sorted(kind(name))
}

/// Findings as `CODE path`.
fn found(plan: &Plan, severity: Severity) -> Vec<String> {
    let of = plan.findings.iter().filter(|finding| finding.severity == severity);
    of.map(|finding| format!("{} {}", finding.code, finding.path)).collect()
}

#[test]
fn a_name_that_is_someone_elses_must_be_decided_about() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let stranger = Account {
        id: 900,
        username: "student01".into(),
        email: "else@example.org".into(),
        host: 1,
        ..Account::default()
    };
    let restore = Restore::new(Target::NewCourse).accounts(vec![stranger.clone()]);
    let plan = restore.plan(&read, None)?;
    let expected = UserConflict {
        user: 5,
        conflict: Conflict::NameTaken { account: 900, rule: Some(Rule::NameOfStranger) },
        accounts: vec![900],
        remedies: vec![
            Remedy::MatchTo { account: 900 },
            Remedy::MatchToOther,
            Remedy::CreateUnderOtherName,
            Remedy::Pseudonymise,
            Remedy::Drop,
        ],
    };
    assert_eq!(plan.conflicts, [expected]);
    assert_eq!(found(&plan, Severity::Error), ["USER_CONFLICT users.xml/users/user[@id=5]"]);
    // Each remedy settles it.
    let other = Mapping::Create { username: Some("student01b".into()) };
    for mapping in [Mapping::MatchTo { account: 900 }, other, Mapping::Drop, Mapping::Pseudonymise] {
        let restore = Restore::new(Target::NewCourse).accounts(vec![stranger.clone()]);
        let mut plan = restore.mapping(5, mapping.clone()).plan(&read, None)?;
        assert!(plan.conflicts.is_empty(), "{mapping:?}");
        assert_eq!(found(&plan, Severity::Error), [""; 0], "{mapping:?}");
        check("a remedy", &read, &mut plan, FAR)?;
    }
    Ok(())
}

#[test]
fn two_users_of_one_name_and_two_of_one_id_must_be_decided_about() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let twins = read.with("users.xml", "<username>student02<", "<username>student01<")?;
    let plan = Restore::new(Target::NewCourse).plan(&twins, None)?;
    let users: Vec<i64> = plan.conflicts.iter().map(|conflict| conflict.user).collect();
    assert_eq!(users, [5, 6]);
    assert!(matches!(&plan.conflicts[0].conflict, Conflict::SharedName { users } if *users == [5, 6]));
    let same = read.with("users.xml", "<user id=\"6\" ", "<user id=\"5\" ")?;
    let plan = Restore::new(Target::NewCourse).plan(&same, None)?;
    assert!(plan.conflicts.iter().all(|conflict| conflict.conflict == Conflict::RepeatedId));
    assert!(plan.conflicts.iter().all(|conflict| conflict.remedies.is_empty()));
    assert_eq!(codes(&plan), BTreeSet::from(["ROLE_BY_ARCHETYPE", "USER_REPEATED"]));
    Ok(())
}

#[test]
fn who_is_left_out_takes_what_is_his_along_and_nothing_else() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let restore = Restore::new(Target::NewCourse).mapping(6, Mapping::Drop);
    let mut plan = restore.plan(&read, None)?;
    assert_eq!(left_out(&plan, "user"), [6]);
    assert_eq!(plan.map.get(kind("user"), 6), Some(0));
    // His post, and the answer to it by another.
    assert_eq!(left_out(&plan, "forum_post"), [2, 3]);
    assert_eq!(left_out(&plan, "forum_discussion"), [0; 0]);
    for (name, field, kind) in
        [("group_member", "userid", kind("group_member")), ("enrolment", "userid", kind("user_enrolment"))]
    {
        let of_him = read.contents.rows.of(kind).filter(|(_, row)| row.number(field) == 6);
        let of_him: Vec<i64> = of_him.map(|(id, _)| id).collect();
        assert!(!of_him.is_empty(), "{name}");
        assert_eq!(plan.left_out.sorted(kind), of_him, "{name}");
    }
    for name in ["forum", "course_module", "group", "grade_item", "question", "course_section", "scale"] {
        assert_eq!(left_out(&plan, name), [0; 0], "{name}");
    }
    assert!(left_out(&plan, "grade_grade").len() < read.ids("grade_grade").len());
    let picture = kind("context");
    let his: Vec<i64> = read.contents.user_contexts[&6].iter().map(|(_, id)| *id).collect();
    let files = read.contents.rows.of(kind("file")).filter(|(_, row)| his.contains(&row.number("contextid")));
    files.for_each(|(id, _)| assert!(plan.left_out.has(kind("file"), id)));
    assert!(plan.left_out.has(picture, his[0]));
    // What he shares with others stays.
    for name in ["tag", "user_info_field"] {
        assert_eq!(left_out(&plan, name), [0; 0], "{name}");
    }
    check("a drop", &read, &mut plan, FAR)
}

#[test]
fn a_pseudonym_is_the_same_the_second_time_and_another_one_for_another_key() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let restore = Restore::new(Target::NewCourse).mapping(6, Mapping::Pseudonymise);
    let plan = restore.plan(&read, None)?;
    let account = plan.new_accounts[&6].clone();
    let number = account.pseudonym.expect("a number");
    assert_eq!(account.username, format!("anon{number}"));
    let values = constants(&Format::embedded(), number);
    assert_eq!(values["username"], account.username);
    assert_eq!(values["firstname"], format!("anonfirstname{number}"));
    assert_eq!((values["idnumber"].as_str(), values["auth"].as_str()), ("", "manual"));
    assert!(!values.contains_key("timecreated"));
    let his = &read.contents.user_contexts[&6];
    let files = read.contents.rows.of(kind("file")).filter(|(_, row)| row.number("contextid") == his[0].1);
    files.for_each(|(id, _)| assert!(plan.left_out.has(kind("file"), id)));
    let username = account.username;
    let made = Account { id: 950, username: username.clone(), host: 1, ..Account::default() };
    let keys = read.contents.keys(&read.manifest.original_site, &restore.site, &restore.mapping, KEY);
    assert!(keys.usernames.contains(&username));
    let again = Restore::new(Target::NewCourse).mapping(6, Mapping::Pseudonymise).accounts(vec![made]);
    let plan = again.plan(&read, None)?;
    assert_eq!(plan.users[&6], UserDecision::Match { account: 950, rule: None });
    let other = read.contents.keys(&read.manifest.original_site, &restore.site, &restore.mapping, b"other");
    assert!(!other.usernames.contains(&username));
    Ok(())
}

#[test]
fn a_role_without_counterpart_goes_with_its_assignments() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let mut restore = Restore::new(Target::NewCourse);
    restore.roles.retain(|role| role.short_name != "student");
    let mut plan = restore.plan(&read, None)?;
    assert_eq!((plan.roles[&5], plan.roles[&9]), (None, None));
    assert_eq!(left_out(&plan, "role"), [5, 9]);
    assert_eq!(plan.map.get(kind("role"), 5), Some(0));
    let of_students = read.contents.rows.of(kind("role_assignment"));
    let of_students = of_students.filter(|(_, row)| [5, 9].contains(&row.number("roleid"))).map(|(id, _)| id);
    let gone = left_out(&plan, "role_assignment");
    assert!(!gone.is_empty());
    of_students.for_each(|id| assert!(gone.contains(&id)));
    assert!(
        found(&plan, Severity::Warning)
            .contains(&"ROLE_UNMATCHED roles.xml/roles_definition/role[@id=5]".into())
    );
    assert_eq!(left_out(&plan, "user_enrolment"), [0; 0]);
    check("no students", &read, &mut plan, FAR)
}

#[test]
fn loops_and_repeated_ids_are_errors() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let looping = read.with("questions.xml", "<parent>1</parent>", "<parent>2</parent>")?;
    let plan = Restore::new(Target::NewCourse).plan(&looping, None)?;
    let path = "LOOP questions.xml/question_categories/question_category[@id=2]";
    assert_eq!(found(&plan, Severity::Error), [path]);
    let twice = read.with("groups.xml", "<group id=\"2\">", "<group id=\"1\">")?;
    let plan = Restore::new(Target::NewCourse).plan(&twice, None)?;
    assert_eq!(found(&plan, Severity::Error), ["ID_REPEATED group[@id=1]"]);
    let tops = read.with("questions.xml", "<parent>1</parent>", "<parent>0</parent>")?;
    let plan = Restore::new(Target::NewCourse).plan(&tops, None)?;
    let path = "QUESTION_BANK_TOPS questions.xml/question_categories/question_category[contextid=23]";
    assert_eq!(found(&plan, Severity::Error), [path]);
    Ok(())
}

#[test]
fn sections_below_themselves_are_errors() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    // Section 2 belongs to a subsection that is in section 2.
    let owned = "<component>mod_page</component>\n  <itemid>1</itemid>\n</section>";
    let page = read.archive.members.iter().find(|(path, _)| path.as_str().ends_with("/page.xml"));
    let (path, bytes) = page.ok_or_else(|| anyhow::anyhow!("a page"))?;
    let text = String::from_utf8_lossy(bytes);
    let id = text.split("activity id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let module = path.as_str().replace("page.xml", "module.xml");
    let module = String::from_utf8_lossy(&read.archive.members[&crate::course::in_memory::path_of(&module)]);
    let section =
        module.split("<sectionid>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    let document = format!("sections/section_{section}/section.xml");
    let owned = owned.replace(">1<", &format!(">{id}<"));
    let looping = read.with(&document, "</section>", &owned)?;
    let plan = Restore::new(Target::NewCourse).plan(&looping, None)?;
    assert_eq!(found(&plan, Severity::Error), [format!("LOOP sections/section[@id={section}]")]);
    let section: i64 = section.parse()?;
    assert!(
        matches!(plan.sections[&section], SectionDecision::Create { is_delegated: true, number } if number > 0)
    );
    Ok(())
}

#[test]
fn contents_that_are_missing_or_altered_are_told() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let mut archive = read.archive.clone();
    let content = archive.members.keys().find(|path| path.as_str().starts_with("files/")).cloned();
    let content = content.ok_or_else(|| anyhow::anyhow!("a content"))?;
    archive.members.remove(&content);
    let mut restore = Restore::new(Target::NewCourse).accounts(read.accounts());
    restore.altered.insert("files/00/0011".to_owned());
    let plan = restore.plan(&Read::of(archive)?, None)?;
    let warnings = found(&plan, Severity::Warning);
    assert!(warnings.contains(&format!("CONTENT_MISSING {content}")), "{warnings:?}");
    assert!(warnings.contains(&"CONTENT_ALTERED files/00/0011".to_owned()), "{warnings:?}");
    // An archive without files says so once, elsewhere.
    let plan = Restore::new(Target::NewCourse).plan(&Read::fixture("rich101-nf")?, None)?;
    assert!(!codes(&plan).contains("CONTENT_MISSING"));
    Ok(())
}

#[test]
fn what_nobody_described_is_told() -> anyhow::Result<()> {
    let read = Read::fixture("gen_xs-nu")?;
    let strange =
        read.with("groups.xml", "<groupings>", "<odd><a>1</a><a>2</a></odd><odd></odd><groupings>")?;
    let mut archive = strange.archive;
    let path = crate::course::in_memory::path_of("course/strange.xml");
    archive.members.insert(path, b"<strange></strange>".to_vec());
    let plan = Restore::new(Target::NewCourse).plan(&Read::of(archive)?, None)?;
    let warnings = found(&plan, Severity::Warning);
    assert_eq!(warnings, ["MEMBER_UNKNOWN course/strange.xml", "ELEMENT_UNKNOWN groups.xml/groups/odd"]);
    Ok(())
}

#[test]
fn references_that_lead_nowhere_are_warnings_unless_the_row_means_nothing_without() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let row = "<grouping_group id=\"1\">\n          <groupid>";
    let lost = read.with("groups.xml", &format!("{row}1<"), &format!("{row}4711<"))?;
    let identity = IdMap::identity(&Format::embedded(), &lost.survey.defined);
    let (_, losses) = renumbered_by(&lost, &identity)?;
    let told = dangling(&Format::embedded(), &losses);
    assert!(told.iter().all(|finding| finding.code == "REFERENCE_DANGLING"));
    let errors: Vec<&str> = told
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(errors, ["groups.xml/groups/groupings/grouping/grouping_groups/grouping_group/groupid"]);
    assert!(told.len() > errors.len());
    Ok(())
}

#[test]
fn people_of_another_site_whom_the_archive_does_not_hold_are_nobody() -> anyhow::Result<()> {
    let read = Read::fixture("rich101-tgz-nu")?;
    let user = kind("user");
    let named = read.scan.named.sorted(user);
    assert!(!named.is_empty());
    let mut restore = Restore::new(Target::NewCourse);
    let plan = restore.plan(&read, None)?;
    named.iter().for_each(|id| assert_eq!(plan.map.get(user, *id), Some(0)));
    restore.site.is_same = true;
    let plan = restore.plan(&read, None)?;
    named.iter().for_each(|id| assert_eq!(plan.map.get(user, *id), Some(*id)));
    Ok(())
}

#[test]
fn changed_questions_are_created_and_groups_of_one_name_stay_apart() -> anyhow::Result<()> {
    let read = Read::fixture(RICH)?;
    let restore = Restore::new(Target::NewCourse).accounts(read.accounts());
    let (course, _, _) = restore.restored(&read, FAR)?;
    let merge = || Restore::new(Target::ExistingAdding).accounts(read.accounts());
    let changed = read.with("questions.xml", "La Terre est ronde.", "La Terre est plate.")?;
    let plan = merge().plan(&changed, Some(&course))?;
    assert_eq!(
        (plan.counts["question_bank_entry"].created, plan.counts["question"].created),
        (1, 2),
        "with both versions"
    );
    assert!(plan.without_number.has(kind("question_bank_entry"), 1), "VF1 is taken");
    assert_eq!(plan.banks[&23], BankPlace::Course { falls_back: false });
    // A picture in it that is another one makes another question.
    let file = read
        .contents
        .rows
        .of(kind("file"))
        .find(|(_, row)| row.text("filearea") == "questiontext" && row.text("filename") == "q.png");
    let (id, _) = file.ok_or_else(|| anyhow::anyhow!("a file"))?;
    let text =
        String::from_utf8_lossy(&read.archive.members[&crate::course::in_memory::path_of("files.xml")])
            .into_owned();
    let at = text.find(&format!("<file id=\"{id}\">")).unwrap_or_default();
    let row: String = text[at..].chars().take(90).collect();
    let hash = row.split("<contenthash>").nth(1).and_then(|rest| rest.get(..10)).unwrap_or_default();
    let repainted = read.with("files.xml", &row, &row.replace(hash, "0123456789"))?;
    let plan = merge().plan(&repainted, Some(&course))?;
    assert_eq!(plan.counts["question_bank_entry"].created, 1);
    // Groups.
    let twins = read.with("groups.xml", "<name>Groupe B<", "<name>Groupe A — été<")?;
    let twins = twins.with("groups.xml", "<idnumber>GB-2<", "<idnumber>GA-2<")?;
    let plan = merge().plan(&twins, Some(&course))?;
    assert!(matches!(plan.groups[&1], GroupDecision::Match { .. }));
    assert_eq!(plan.groups[&2], GroupDecision::Create { keeps_id_number: false });
    assert!(plan.without_number.has(kind("group"), 2));
    // Moodle makes one of them.
    let mut plan = Restore::new(Target::NewCourse).accounts(read.accounts()).moodle().plan(&twins, None)?;
    assert_eq!(left_out(&plan, "group"), [2]);
    plan.allocate(&Format::embedded(), &twins.survey, FAR);
    assert_eq!(plan.map.get(kind("group"), 2), plan.map.get(kind("group"), 1));
    Ok(())
}

#[test]
fn surveys_and_plans_agree_on_kinds() {
    // Every kind in the tables is one that a description names, lest a slip of the pen matches nothing.
    let format = Format::embedded();
    let names = super::super::table::RULED.iter().map(|(kind, _)| *kind);
    let names = names.chain(super::super::table::ALIKE.iter().map(|(kind, ..)| *kind));
    let names = names.chain(super::super::table::CLOSED.iter().copied());
    for name in names.chain(super::super::table::OF_SITE.iter().copied()) {
        assert!(format.kind(name).is_some(), "{name}");
    }
    assert!(Survey::new().defined.is_empty());
}
