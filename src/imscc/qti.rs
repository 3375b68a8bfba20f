//! Questions as QTI 1.2 within the profile of Common Cartridge 1.1.
//!
//! A response processing has one variable, SCORE, which is set to 100 where the answer is right. Conditions are looked at
//! in their order; the first one that holds and does not say `continue` ends it.

use std::fmt::Write as _;

use super::node::{text, value};
use super::question::{Answer, Body, Match, Question};

/// The name of the one answer of a question.
const RESPONSE: &str = "response1";

/// An item around its weight, which each assessment decides for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub head: String,
    pub tail: String,
}

/// A question as an item.
pub(super) fn item(question: &Question) -> Item {
    let mut head = String::new();
    let (ident, name) = (value(&question.ident), value(&shortened(&question.name)));
    let _ = writeln!(head, "<item ident=\"{ident}\" title=\"{name}\">");
    head.push_str("<itemmetadata>\n<qtimetadata>\n");
    field(&mut head, "cc_profile", question.body.profile());
    if !question.category.is_empty() {
        field(&mut head, "cc_question_category", &question.category);
    }
    head.push_str("<qtimetadatafield><fieldlabel>cc_weighting</fieldlabel><fieldentry>");
    let mut tail = String::from("</fieldentry></qtimetadatafield>\n");
    let by_person = matches!(question.body, Body::Essay { .. });
    field(&mut tail, "qmd_computerscored", if by_person { "No" } else { "Yes" });
    tail.push_str("</qtimetadata>\n</itemmetadata>\n<presentation>\n");
    material(&mut tail, &question.text);
    presentation(&mut tail, &question.body);
    tail.push_str("</presentation>\n");
    let mut processing = Processing::default();
    processing.feedback("general_fb", &question.feedback, OTHER, "Yes");
    processing.body(&question.body);
    processing.write(&mut tail, matches!(question.body, Body::Essay { .. }));
    tail.push_str("</item>\n");
    Item { head, tail }
}

/// A title stands in an attribute.
fn shortened(title: &str) -> String {
    title.chars().take(255).collect()
}

fn field(out: &mut String, label: &str, entry: &str) {
    let entry = text(entry);
    let _ = writeln!(
        out,
        "<qtimetadatafield><fieldlabel>{label}</fieldlabel><fieldentry>{entry}</fieldentry></qtimetadatafield>"
    );
}

fn material(out: &mut String, html: &str) {
    let _ = writeln!(out, "<material><mattext texttype=\"text/html\">{}</mattext></material>", text(html));
}

fn presentation(out: &mut String, body: &Body) {
    match body {
        Body::Choice { single, shuffle, answers, .. } => {
            let cardinality = if *single { "Single" } else { "Multiple" };
            let shuffle = if *shuffle { "Yes" } else { "No" };
            let _ = writeln!(out, "<response_lid ident=\"{RESPONSE}\" rcardinality=\"{cardinality}\">");
            let _ = writeln!(out, "<render_choice shuffle=\"{shuffle}\">");
            for (at, answer) in answers.iter().enumerate() {
                label(out, &ident_of(at), &answer.text);
            }
            out.push_str("</render_choice>\n</response_lid>\n");
        }
        Body::TrueFalse { .. } => {
            let _ = writeln!(out, "<response_lid ident=\"{RESPONSE}\" rcardinality=\"Single\">");
            out.push_str("<render_choice shuffle=\"No\">\n");
            label(out, "true", "True");
            label(out, "false", "False");
            out.push_str("</render_choice>\n</response_lid>\n");
        }
        Body::Fill { number, .. } => fill(out, if *number { " fibtype=\"Decimal\"" } else { "" }),
        Body::Pattern { .. } => fill(out, ""),
        Body::Essay { lines, .. } => fill(out, &format!(" rows=\"{lines}\" columns=\"80\"")),
    }
}

fn ident_of(at: usize) -> String {
    format!("A{}", at + 1)
}

fn label(out: &mut String, ident: &str, html: &str) {
    let _ = writeln!(out, "<response_label ident=\"{ident}\">");
    material(out, html);
    out.push_str("</response_label>\n");
}

fn fill(out: &mut String, attributes: &str) {
    let _ = writeln!(
        out,
        "<response_str ident=\"{RESPONSE}\" rcardinality=\"Single\"><render_fib{attributes}/></response_str>"
    );
}

/// Holds whatever was answered.
const OTHER: &str = "<other/>";

/// Conditions and the feedback that they show.
#[derive(Default)]
struct Processing {
    conditions: String,
    feedback: String,
}

impl Processing {
    fn body(&mut self, body: &Body) {
        match body {
            Body::Choice { single: true, answers, right, wrong, .. } => self.choice(answers, right, wrong),
            Body::Choice { single: false, answers, right, wrong, .. } => self.response(answers, right, wrong),
            Body::TrueFalse { truth, when_true, when_false } => {
                let answer = |text: &str, feedback: &str, right| Answer {
                    text: text.into(),
                    right,
                    feedback: feedback.into(),
                };
                for one in [answer("true", when_true, *truth), answer("false", when_false, !*truth)] {
                    self.condition(
                        &equal(&one.text, "Yes"),
                        one.right,
                        &[(&format!("{}_fb", one.text), &one.feedback)],
                    );
                }
            }
            Body::Fill { case, answers, otherwise, .. } => {
                let answers = answers.iter().map(|one| Match {
                    text: one.text.clone(),
                    contains: false,
                    right: one.right,
                    feedback: one.feedback.clone(),
                });
                self.words(*case, &answers.collect::<Vec<_>>(), otherwise);
            }
            Body::Pattern { case, answers, otherwise } => self.words(*case, answers, otherwise),
            Body::Essay { solution, .. } => {
                if !solution.trim().is_empty() {
                    let ident = "solution";
                    self.conditions
                        .push_str("<respcondition continue=\"No\"><conditionvar><other/></conditionvar>");
                    let _ = writeln!(
                        self.conditions,
                        "<displayfeedback feedbacktype=\"Solution\" linkrefid=\"{ident}\"/></respcondition>"
                    );
                    let _ = writeln!(
                        self.feedback,
                        "<itemfeedback ident=\"{ident}\"><solution><solutionmaterial><flow_mat>"
                    );
                    material(&mut self.feedback, solution);
                    self.feedback.push_str("</flow_mat></solutionmaterial></solution></itemfeedback>\n");
                }
            }
        }
    }

    /// One right answer: exactly one condition holds.
    fn choice(&mut self, answers: &[Answer], right: &str, wrong: &str) {
        for (at, answer) in answers.iter().enumerate() {
            let ident = ident_of(at);
            let both = if answer.right { ("correct_fb", right) } else { ("incorrect_fb", wrong) };
            let own = format!("{ident}_fb");
            self.condition(&equal(&ident, "Yes"), answer.right, &[(&own, &answer.feedback), both]);
        }
    }

    /// All that are right and none that is not.
    fn response(&mut self, answers: &[Answer], right: &str, wrong: &str) {
        for (at, answer) in answers.iter().enumerate() {
            let ident = ident_of(at);
            self.feedback(&format!("{ident}_fb"), &answer.feedback, &equal(&ident, "Yes"), "Yes");
        }
        let all = answers.iter().enumerate().map(|(at, answer)| match answer.right {
            true => equal(&ident_of(at), "Yes"),
            false => format!("<not>{}</not>", equal(&ident_of(at), "Yes")),
        });
        let all = format!("<and>{}</and>", all.collect::<String>());
        self.condition(&all, true, &[("correct_fb", right)]);
        self.feedback("incorrect_fb", wrong, OTHER, "No");
    }

    /// Words that are right stand in one condition, so that readers that know one of them find all; those with feedback
    /// of their own show it first.
    fn words(&mut self, case: bool, answers: &[Match], otherwise: &str) {
        let case = if case { "Yes" } else { "No" };
        let test = |one: &Match| match one.contains {
            true => format!(
                "<varsubstring respident=\"{RESPONSE}\" case=\"{case}\">{}</varsubstring>",
                text(&one.text)
            ),
            false => equal(&one.text, case),
        };
        let mut right: Vec<(usize, &Match)> = Vec::new();
        for (at, answer) in answers.iter().enumerate() {
            match answer.right {
                true => right.push((at, answer)),
                false => {}
            }
        }
        let same = right.windows(2).all(|pair| pair[0].1.feedback == pair[1].1.feedback);
        if !same {
            for (at, answer) in &right {
                self.feedback(&format!("{}_fb", ident_of(*at)), &answer.feedback, &test(answer), "Yes");
            }
        }
        let tests: String = right.iter().map(|(_, answer)| test(answer)).collect();
        let shared = right.first().filter(|_| same).map_or("", |(_, answer)| answer.feedback.as_str());
        self.condition(&tests, true, &[("correct_fb", shared)]);
        for (at, answer) in answers.iter().enumerate().filter(|(_, answer)| !answer.right) {
            self.condition(&test(answer), false, &[(&format!("{}_fb", ident_of(at)), &answer.feedback)]);
        }
        self.feedback("incorrect_fb", otherwise, OTHER, "No");
    }

    /// A condition that ends the processing.
    fn condition(&mut self, test: &str, right: bool, shows: &[(&str, &str)]) {
        let shows: Vec<_> = shows.iter().filter(|(_, html)| !html.trim().is_empty()).collect();
        if !right && shows.is_empty() {
            return;
        }
        let _ = write!(self.conditions, "<respcondition continue=\"No\"><conditionvar>{test}</conditionvar>");
        if right {
            self.conditions.push_str("<setvar action=\"Set\" varname=\"SCORE\">100</setvar>");
        }
        for (ident, html) in shows {
            self.shown(ident, html);
        }
        self.conditions.push_str("</respcondition>\n");
    }

    /// A condition that only shows something.
    fn feedback(&mut self, ident: &str, html: &str, test: &str, go_on: &str) {
        if html.trim().is_empty() {
            return;
        }
        let _ = write!(
            self.conditions,
            "<respcondition continue=\"{go_on}\"><conditionvar>{test}</conditionvar>"
        );
        self.shown(ident, html);
        self.conditions.push_str("</respcondition>\n");
    }

    fn shown(&mut self, ident: &str, html: &str) {
        let _ = write!(self.conditions, "<displayfeedback feedbacktype=\"Response\" linkrefid=\"{ident}\"/>");
        let begins = format!("<itemfeedback ident=\"{ident}\">");
        if !self.feedback.contains(&begins) {
            let _ = writeln!(self.feedback, "{begins}<flow_mat>");
            material(&mut self.feedback, html);
            self.feedback.push_str("</flow_mat></itemfeedback>\n");
        }
    }

    fn write(self, out: &mut String, may_be_empty: bool) {
        if !self.conditions.is_empty() || !may_be_empty {
            out.push_str("<resprocessing>\n");
            out.push_str("<outcomes><decvar varname=\"SCORE\" vartype=\"Decimal\" minvalue=\"0\" maxvalue=\"100\"/></outcomes>\n");
            out.push_str(&self.conditions);
            out.push_str("</resprocessing>\n");
        }
        out.push_str(&self.feedback);
    }
}

fn equal(what: &str, case: &str) -> String {
    format!("<varequal respident=\"{RESPONSE}\" case=\"{case}\">{}</varequal>", text(what))
}

/// What opens and closes a document of questions.
const ROOT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<questestinterop xmlns=\"http://www.imsglobal.org/xsd/ims_qtiasiv1p2\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://www.imsglobal.org/xsd/ims_qtiasiv1p2 \
    http://www.imsglobal.org/profile/cc/ccv1p1/ccv1p1_qtiasiv1p2p1_v1p0.xsd\">\n";

/// An assessment.
pub(super) struct Assessment<'a> {
    pub ident: &'a str,
    pub title: &'a str,
    /// Shown before the questions, HTML.
    pub introduction: &'a str,
    /// Tries; 0 for any number.
    pub tries: i64,
    /// Seconds; 0 for any time.
    pub seconds: i64,
}

impl Assessment<'_> {
    /// What stands before the items.
    pub fn head(&self) -> String {
        let mut out = String::from(ROOT);
        let (ident, title) = (value(self.ident), value(&shortened(self.title)));
        let _ = writeln!(out, "<assessment ident=\"{ident}\" title=\"{title}\">\n<qtimetadata>");
        field(&mut out, "cc_profile", "cc.exam.v0p1");
        field(&mut out, "qmd_assessmenttype", "Examination");
        field(&mut out, "qmd_scoretype", "Percentage");
        field(&mut out, "qmd_feedbackpermitted", "Yes");
        field(&mut out, "qmd_hintspermitted", "No");
        field(&mut out, "qmd_solutionspermitted", "Yes");
        if self.seconds > 0 {
            // In minutes, up to a year.
            field(&mut out, "qmd_timelimit", &(self.seconds.div_euclid(60).clamp(1, 527_401)).to_string());
        }
        let tries = if self.tries > 0 { self.tries.to_string() } else { "unlimited".to_owned() };
        field(&mut out, "cc_maxattempts", &tries);
        out.push_str("</qtimetadata>\n");
        if !self.introduction.trim().is_empty() {
            out.push_str("<rubric>");
            material(&mut out, self.introduction);
            out.push_str("</rubric>\n");
        }
        out.push_str("<section ident=\"root_section\">\n");
        out
    }
}

/// What stands behind the items of an assessment.
pub(super) const ASSESSMENT_TAIL: &str = "</section>\n</assessment>\n</questestinterop>\n";

/// What stands before the items of a question bank.
pub(super) fn bank_head(ident: &str) -> String {
    format!("{ROOT}<objectbank ident=\"{}\">\n", value(ident))
}

/// What stands behind them.
pub(super) const BANK_TAIL: &str = "</objectbank>\n</questestinterop>\n";
