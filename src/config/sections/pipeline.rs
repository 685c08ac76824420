//! What a result is owed in Attio besides the record: a note, a place in a list.

use crate::{
    attio::Pipeline,
    config::{check, reader::Reader},
};

/// `ATTIO__NOTE`: whether each result is told in a note.
pub(super) fn note(r: &mut Reader) -> Option<bool> {
    let parse = |text: &str| match text {
        "off" => Ok(false),
        "on-result" => Ok(true),
        _ => Err("must be off or on-result".to_owned()),
    };
    // An empty one counts as not set, which is off.
    let is_on = r.parsed_if_set("attio.note", parse);
    Some(is_on.unwrap_or_default())
}

/// `ATTIO__PIPELINE__…`; `None` after a fault as well: there is no configuration then.
pub(super) fn pipeline(r: &mut Reader) -> Option<Pipeline> {
    let list = r.parsed_if_set("attio.pipeline.list", check::slug_or_id);
    let stage_attribute = r.parsed_if_set("attio.pipeline.stage_attribute", check::slug_or_id);
    let key = "attio.pipeline.stages";
    let items = r.list(key);
    let stages = r.judge(key, stages(&items)).unwrap_or_default();
    let is_set = [list.is_some(), stage_attribute.is_some(), !items.is_empty()];
    if is_set.contains(&true) && is_set.contains(&false) {
        let wanted = [
            ("attio.pipeline.list", "the slug or id of the list of people"),
            ("attio.pipeline.stage_attribute", "the slug of the list's attribute that shows the stage"),
            (key, "the stage of each result, such as qualified:Qualified,not_interested:Lost"),
        ];
        for ((key, what), _) in wanted.into_iter().zip(is_set).filter(|(_, is_set)| !is_set) {
            if !r.is_faulty(key) {
                r.fault(
                    key,
                    format!("is not set, and another ATTIO__PIPELINE__… is: set it to {what}, or unset the others"),
                );
            }
        }
    }
    Some(Pipeline { list: list?, stage_attribute: stage_attribute?, stages })
}

fn stages(items: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut stages: Vec<(String, String)> = Vec::new();
    for item in items {
        let pair = item.split_once(':').map(|(result, stage)| (result.trim(), stage.trim()));
        let Some((result, stage)) = pair.filter(|(result, stage)| !result.is_empty() && !stage.is_empty()) else {
            return Err("must name a stage for each result, as in qualified:Qualified,not_interested:Lost".to_owned());
        };
        if stages.iter().any(|(known, _)| known.to_lowercase() == result.to_lowercase()) {
            return Err("names a result twice (capitals make no difference): give each one stage".to_owned());
        }
        check::title(result)?;
        check::title(stage)?;
        stages.push((result.to_owned(), stage.to_owned()));
    }
    Ok(stages)
}
