//! What a cartridge cannot hold, named item by item, for people and for programs.

use serde::Serialize;

use crate::label::labels;

labels! {
    /// What became of an item.
    pub enum Outcome {
        /// It is in the cartridge, without something that it had.
        Converted = "CONVERTED",
        /// It is not in the cartridge.
        LeftOut = "LEFT_OUT",
    }
}

labels! {
    /// What an item lost.
    pub enum Lost {
        /// Common Cartridge 1.1 has no place for such a thing.
        NoForm = "NO_FORM",
        /// There is nothing in it that a cartridge could hold.
        Empty = "EMPTY",
        /// The introduction or description.
        Introduction = "INTRODUCTION",
        /// Conditions on which it is available.
        Restrictions = "RESTRICTIONS",
        /// Conditions on which it counts as completed.
        Completion = "COMPLETION",
        /// Group mode and grouping.
        Groups = "GROUPS",
        /// Opening and closing times.
        Dates = "DATES",
        /// How it is graded.
        Grading = "GRADING",
        /// Options of its kind of activity.
        Options = "OPTIONS",
        /// That it is hidden.
        Visibility = "VISIBILITY",
        /// How far it is indented.
        Indentation = "INDENTATION",
        /// Tags.
        Tags = "TAGS",
        /// Letter case, emphasis and layout of its text.
        Formatting = "FORMATTING",
        /// Files that it shows.
        Files = "FILES",
        /// Names of files, some letters of which a cartridge does better without.
        FileNames = "FILE_NAMES",
        /// Links to what is not in the cartridge.
        Links = "LINKS",
        /// What it does; only its text is there.
        Behaviour = "BEHAVIOUR",
        /// Passwords, keys and shared secrets, which never leave.
        Secrets = "SECRETS",
        /// Questions drawn at random.
        RandomQuestions = "RANDOM_QUESTIONS",
        /// Questions that are not in the cartridge.
        Questions = "QUESTIONS",
        /// Marks for answers that are partly right, or taken for wrong ones.
        PartialCredit = "PARTIAL_CREDIT",
        /// A mark that is no whole number from 0 to 99.
        Mark = "MARK",
        /// Hints for further tries, and the penalty for them.
        Hints = "HINTS",
        /// Feedback for partly right answers.
        Feedback = "FEEDBACK",
        /// Patterns other than "contains".
        Patterns = "PATTERNS",
        /// Tolerance and units of a number.
        Tolerance = "TOLERANCE",
        /// Earlier versions.
        Versions = "VERSIONS",
        /// Several right answers where only one can be given.
        SeveralRight = "SEVERAL_RIGHT",
    }
}

impl Lost {
    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::NoForm => "Common Cartridge 1.1 has no form for it",
            Self::Empty => "there is nothing in it that a cartridge can hold",
            Self::Introduction => "its introduction",
            Self::Restrictions => "conditions on which it is available",
            Self::Completion => "conditions on which it is completed",
            Self::Groups => "group mode and grouping",
            Self::Dates => "opening and closing times",
            Self::Grading => "how it is graded",
            Self::Options => "options of its kind",
            Self::Visibility => "that it is hidden",
            Self::Indentation => "its indentation",
            Self::Tags => "tags",
            Self::Formatting => "formatting of its text",
            Self::Files => "files that it shows",
            Self::FileNames => "letters of file names",
            Self::Links => "links to what is not in the cartridge",
            Self::Behaviour => "what it does; its text is there as a page",
            Self::Secrets => "keys and shared secrets",
            Self::RandomQuestions => "questions drawn at random",
            Self::Questions => "questions that a cartridge cannot hold",
            Self::PartialCredit => "marks for partly right answers",
            Self::Mark => "a mark that is no whole number from 0 to 99",
            Self::Hints => "hints and penalties for further tries",
            Self::Feedback => "some of its feedback",
            Self::Patterns => "patterns other than \"contains\"",
            Self::Tolerance => "tolerance and units of the number",
            Self::Versions => "its earlier versions",
            Self::SeveralRight => "several answers are right where one is asked for",
        }
    }
}

/// An item that is not in the cartridge, or not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Which: `quiz_22` (an activity and its course module's id), `section_4`, `question 17`, `course`, or a kind of things.
    pub item: String,
    /// Its title.
    pub title: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What it lost, in the order of [`Lost`].
    pub lost: Vec<Lost>,
    /// More of it for people; often empty.
    pub detail: String,
}

impl Loss {
    /// One sentence for people.
    pub fn message(&self) -> String {
        let lost: Vec<&str> = self.lost.iter().map(|lost| lost.describe()).collect();
        let lost = lost.join("; ");
        let detail = if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        match self.outcome {
            Outcome::Converted => format!("{:?} is in the cartridge without: {lost}{detail}", self.title),
            Outcome::LeftOut => format!("{:?} is left out: {lost}{detail}", self.title),
        }
    }
}

/// What an export came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the cartridge holds, by kind of resource.
    pub resources: std::collections::BTreeMap<String, u64>,
    /// Questions in it, by profile.
    pub questions: std::collections::BTreeMap<String, u64>,
    /// Everything that was lost.
    pub losses: Vec<Loss>,
}

/// Gathers what one item lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    lost: std::collections::BTreeSet<Lost>,
    detail: Vec<String>,
}

impl Losses {
    pub fn add(&mut self, lost: Lost) {
        self.lost.insert(lost);
    }

    pub fn add_if(&mut self, holds: bool, lost: Lost) {
        if holds {
            self.add(lost);
        }
    }

    pub fn detail(&mut self, text: impl Into<String>) {
        self.detail.push(text.into());
    }

    /// Tells it, if anything was lost.
    pub fn tell(self, report: &mut Report, item: &str, title: &str, outcome: Outcome) {
        if outcome == Outcome::Converted && self.lost.is_empty() {
            return;
        }
        report.losses.push(Loss {
            item: item.to_owned(),
            title: title.to_owned(),
            outcome,
            lost: self.lost.into_iter().collect(),
            detail: self.detail.join("; "),
        });
    }
}
