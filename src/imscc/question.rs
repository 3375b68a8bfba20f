//! Questions that both a question bank of Moodle and a cartridge can hold, and what of Moodle's becomes one.

use super::loss::{Losses, Lost};
use super::node::Node;
use super::text::{self, Source, Surroundings};

/// A question that a cartridge can hold. Texts are HTML unless told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    /// Tells it apart from all others.
    pub ident: String,
    /// Its name, plain.
    pub name: String,
    pub text: String,
    /// Shown whatever was answered.
    pub feedback: String,
    /// Points.
    pub mark: f64,
    /// The category in its bank, plain.
    pub category: String,
    pub body: Body,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// One or several of some answers.
    Choice { single: bool, shuffle: bool, answers: Vec<Answer>, right: String, wrong: String },
    /// Whether the statement is true, with the feedback of both answers.
    TrueFalse { truth: bool, when_true: String, when_false: String },
    /// A word, a number.
    Fill { case: bool, number: bool, answers: Vec<Answer>, otherwise: String },
    /// A text that contains, or is, something.
    Pattern { case: bool, answers: Vec<Match>, otherwise: String },
    /// A text that a person marks.
    Essay { lines: u32, solution: String },
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// HTML for choices, plain for words.
    pub text: String,
    pub right: bool,
    pub feedback: String,
}

/// What an answer is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    /// Plain.
    pub text: String,
    /// It is enough that the answer contains it.
    pub contains: bool,
    pub right: bool,
    pub feedback: String,
}

impl Body {
    /// The profile of Common Cartridge that it follows.
    pub const fn profile(&self) -> &'static str {
        match self {
            Self::Choice { single: true, .. } => "cc.multiple_choice.v0p1",
            Self::Choice { single: false, .. } => "cc.multiple_response.v0p1",
            Self::TrueFalse { .. } => "cc.true_false.v0p1",
            Self::Fill { .. } => "cc.fib.v0p1",
            Self::Pattern { .. } => "cc.pattern_match.v0p1",
            Self::Essay { .. } => "cc.essay.v0p1",
        }
    }
}

/// Why a question of Moodle cannot be in a cartridge.
pub(super) type Refusal = Lost;

/// Reads a `question` element of `questions.xml`. Says in `losses` what does not come along.
pub(super) fn of_moodle(
    node: &Node,
    category: &str,
    around: Surroundings<'_>,
    losses: &mut Losses,
) -> Result<Question, Refusal> {
    let kind = node.text_of("qtype");
    let plugin = node.child(&format!("plugin_qtype_{kind}_question"));
    let plugin = plugin.ok_or(Lost::NoForm)?;
    let reading = Reading { plugin, around };
    let body = match kind {
        "multichoice" => reading.choice(losses)?,
        "truefalse" => reading.true_false(losses)?,
        "shortanswer" => reading.short_answer(losses)?,
        "numerical" => reading.numerical(losses)?,
        "essay" => reading.essay(losses),
        _ => return Err(Lost::NoForm),
    };
    let hints = node.child("question_hints").is_some_and(|hints| !hints.children.is_empty());
    losses.add_if(hints, Lost::Hints);
    losses.add_if(node.child("tags").is_some_and(|tags| !tags.children.is_empty()), Lost::Tags);
    Ok(Question {
        ident: format!("Q_{}", node.id()),
        name: node.text_of("name").to_owned(),
        text: reading.html(node, "questiontext", losses),
        feedback: reading.html(node, "generalfeedback", losses),
        mark: node.decimal("defaultmark"),
        category: category.to_owned(),
        body,
    })
}

struct Reading<'r> {
    plugin: &'r Node,
    around: Surroundings<'r>,
}

/// An answer of Moodle.
struct Given<'g> {
    node: &'g Node,
    fraction: f64,
}

impl Given<'_> {
    fn is_full(&self) -> bool {
        self.fraction > 0.9999
    }

    fn is_partial(&self) -> bool {
        self.fraction > 0.0 && !self.is_full()
    }
}

impl<'r> Reading<'r> {
    fn html(&self, of: &Node, field: &str, losses: &mut Losses) -> String {
        let format = match field {
            "answertext" => of.number("answerformat"),
            field => of.number(&format!("{field}format")),
        };
        text::html(Source { text: of.text_of(field), format }, self.around, losses)
    }

    fn given(&self) -> Vec<Given<'r>> {
        let answers = self.plugin.child("answers").map(|answers| answers.children.as_slice());
        let one = |node: &'r Node| Given { node, fraction: node.decimal("fraction") };
        answers.unwrap_or_default().iter().map(one).collect()
    }

    fn choice(&self, losses: &mut Losses) -> Result<Body, Refusal> {
        let none = Node::default();
        let options = self.plugin.child("multichoice").unwrap_or(&none);
        let single = options.number("single") == 1;
        let given = self.given();
        let right = |one: &Given<'_>| if single { one.is_full() } else { one.fraction > 0.0 };
        match given.iter().filter(|one| right(one)).count() {
            0 => return Err(Lost::PartialCredit),
            1 => {}
            _ if single => return Err(Lost::SeveralRight),
            // All or nothing takes the place of marks for each of them.
            _ => losses.add(Lost::PartialCredit),
        }
        losses.add_if(
            given.iter().any(|one| single && one.is_partial() || one.fraction < 0.0),
            Lost::PartialCredit,
        );
        losses.add_if(!options.text_of("partiallycorrectfeedback").trim().is_empty(), Lost::Feedback);
        let answers = given.iter().map(|one| Answer {
            text: self.html(one.node, "answertext", losses),
            right: right(one),
            feedback: self.html(one.node, "feedback", losses),
        });
        let answers = answers.collect();
        Ok(Body::Choice {
            single,
            shuffle: options.number("shuffleanswers") == 1,
            answers,
            right: self.html(options, "correctfeedback", losses),
            wrong: self.html(options, "incorrectfeedback", losses),
        })
    }

    fn true_false(&self, losses: &mut Losses) -> Result<Body, Refusal> {
        let options = self.plugin.child("truefalse").ok_or(Lost::Empty)?;
        let given = self.given();
        let find = |field: &str| given.iter().find(|one| one.node.id() == options.number(field));
        let (yes, no) = (find("trueanswer").ok_or(Lost::Empty)?, find("falseanswer").ok_or(Lost::Empty)?);
        Ok(Body::TrueFalse {
            truth: yes.fraction > no.fraction,
            when_true: self.html(yes.node, "feedback", losses),
            when_false: self.html(no.node, "feedback", losses),
        })
    }

    /// Words that are right, words that are not, and what is said to everything else. `*` stands for any letters; only
    /// "contains" of that can be told.
    fn short_answer(&self, losses: &mut Losses) -> Result<Body, Refusal> {
        let case = self.plugin.child("shortanswer").is_some_and(|options| options.number("usecase") == 1);
        let given = self.given();
        losses.add_if(given.iter().any(Given::is_partial), Lost::PartialCredit);
        let mut otherwise = String::new();
        let mut matches = Vec::new();
        for one in &given {
            let feedback = self.html(one.node, "feedback", losses);
            let pattern = one.node.text_of("answertext");
            match told(pattern) {
                Told::Any if one.is_full() => return Err(Lost::Patterns),
                Told::Any => {
                    otherwise = feedback;
                    // Moodle looks no further than the first that fits.
                    break;
                }
                Told::Other if one.is_full() => losses.add(Lost::Patterns),
                Told::Other => losses.add_if(!feedback.trim().is_empty(), Lost::Feedback),
                Told::Is(text) => {
                    matches.push(Match { text, contains: false, right: one.is_full(), feedback })
                }
                Told::Contains(text) => {
                    matches.push(Match { text, contains: true, right: one.is_full(), feedback });
                }
            }
        }
        if !matches.iter().any(|one| one.right) {
            return Err(Lost::Patterns);
        }
        if matches.iter().any(|one| one.contains) {
            return Ok(Body::Pattern { case, answers: matches, otherwise });
        }
        let answers = matches.into_iter();
        let answers = answers.map(|Match { text, right, feedback, .. }| Answer { text, right, feedback });
        Ok(Body::Fill { case, number: false, answers: answers.collect(), otherwise })
    }

    fn numerical(&self, losses: &mut Losses) -> Result<Body, Refusal> {
        losses.add(Lost::Tolerance);
        let given = self.given();
        losses.add_if(given.iter().any(Given::is_partial), Lost::PartialCredit);
        let mut otherwise = String::new();
        let mut answers = Vec::new();
        for one in &given {
            let feedback = self.html(one.node, "feedback", losses);
            match one.node.text_of("answertext") {
                "*" if one.is_full() => return Err(Lost::Patterns),
                "*" => otherwise = feedback,
                number => answers.push(Answer { text: number.to_owned(), right: one.is_full(), feedback }),
            }
        }
        match answers.iter().any(|one| one.right) {
            true => Ok(Body::Fill { case: false, number: true, answers, otherwise }),
            false => Err(Lost::Empty),
        }
    }

    fn essay(&self, losses: &mut Losses) -> Body {
        let none = Node::default();
        let options = self.plugin.child("essay").unwrap_or(&none);
        let is_set = |field: &str| !matches!(options.text_of(field).trim(), "" | "0");
        let set = ["attachments", "minwordlimit", "maxwordlimit", "responsetemplate"]
            .iter()
            .any(|field| is_set(field));
        losses.add_if(set, Lost::Options);
        let lines = u32::try_from(options.number("responsefieldlines")).unwrap_or(15).clamp(1, 200);
        Body::Essay { lines, solution: self.html(options, "graderinfo", losses) }
    }
}

/// What a pattern of Moodle's short answers says.
enum Told {
    Any,
    Is(String),
    Contains(String),
    Other,
}

fn told(pattern: &str) -> Told {
    // `\*` is a star itself.
    let mut parts = vec![String::new()];
    let mut letters = pattern.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'*') => {
                letters.next();
                parts.last_mut().into_iter().for_each(|part| part.push('*'));
            }
            '*' => parts.push(String::new()),
            letter => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
        }
    }
    match parts.as_slice() {
        [only] => Told::Is(only.clone()),
        parts if parts.iter().all(String::is_empty) => Told::Any,
        [before, middle, after] if before.is_empty() && after.is_empty() => Told::Contains(middle.clone()),
        _ => Told::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_one_of_four_things() {
        let word = |pattern: &str| match told(pattern) {
            Told::Any => "any".to_owned(),
            Told::Is(text) => format!("is {text}"),
            Told::Contains(text) => format!("contains {text}"),
            Told::Other => "other".to_owned(),
        };
        for (pattern, expected) in [
            ("été", "is été"),
            ("*", "any"),
            ("**", "any"),
            ("*été*", "contains été"),
            ("été*", "other"),
            ("a*b", "other"),
            ("2\\*3", "is 2*3"),
            ("*2\\*3*", "contains 2*3"),
        ] {
            assert_eq!(word(pattern), expected, "{pattern}");
        }
    }
}
