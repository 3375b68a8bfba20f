//! Values of a few numbers: steps of attempts, parameters of badges, answers in lessons, names of tasks.

use super::super::value::Reach;
use super::super::{ids, names};
use crate::format::Selector;

/// A variable of a step of an attempt. What it holds depends on its name and on the type of the question. Table `stepdata`,
/// key `TYPE/NAME`.
pub(super) fn step_data(reach: &mut Reach<'_, '_>, raw: &str) -> Option<String> {
    let name = reach.place.field("name").unwrap_or_default().to_owned();
    let question = reach.place.field("questionid").and_then(ids::id_of);
    let kind = question.and_then(|question| reach.survey.question_type(question)).unwrap_or_default();
    let key = format!("{kind}/{name}");
    match reach.told("stepdata", &key, |_| None).map(|kinds| kinds.first().copied().flatten()) {
        Some(Some(kind)) if ids::is_list(raw, b',') => ids::each_number(raw, |id| reach.new_id(kind, id)),
        Some(Some(_)) => reach.unreadable("stepdata"),
        Some(None) => None,
        // Variables with a dash in front are the type's own: ids of answers, if anything. Of a type that is described all
        // that hold ids are told.
        None => {
            let known = reach.format.hung(&format!("plugin_qtype_{kind}_question")).is_some();
            if !known && name.contains('_') && !name.starts_with('-') && ids::is_list(raw, b',') {
                return reach.untold("stepdata", &key, None);
            }
            reach.links(raw)
        }
    }
}

/// `module_3`: a word and an id, whose kind is told by the type of the criterion. Table `badgeparameter`.
pub(super) fn badge_parameter(reach: &mut Reach<'_, '_>, codec: &Selector, raw: &str) -> Option<String> {
    let (word, id) = raw.rsplit_once('_')?;
    let id = ids::id_of(id)?;
    let key = reach.key(codec);
    let Some(kinds) = reach.told("badgeparameter", &key, |_| None) else {
        return reach.untold("badgeparameter", &key, Some(id));
    };
    let new = reach.new_id(kinds.first().copied().flatten()?, id)?;
    Some(format!("{word}_{new}"))
}

/// What somebody answered on a page of a lesson: PHP's serialize, a text, or ids of answers where the type of the page says
/// so. Table `lessonanswer`.
pub(super) fn lesson_answer(reach: &mut Reach<'_, '_>, codec: &Selector, text: &str) -> Option<String> {
    let key = reach.key(codec);
    let kind = reach.told("lessonanswer", &key, |_| None).and_then(|kinds| kinds.first().copied().flatten());
    match kind.filter(|_| ids::is_list(text, b',')) {
        Some(kind) => ids::each_number(text, |id| reach.new_id(kind, id)),
        None => super::serialized(reach, text),
    }
}

/// The name of a task's folder or setting.
pub(super) fn task_name(reach: &mut Reach<'_, '_>, raw: &str) -> Option<String> {
    let (kind, place) = names::task_id(&reach.kinds, raw)?;
    let new = reach.new_id(kind, ids::id_of(&raw[place.clone()])?)?;
    Some(format!("{}{new}{}", &raw[..place.start], &raw[place.end..]))
}
