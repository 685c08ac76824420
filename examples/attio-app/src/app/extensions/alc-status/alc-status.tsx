/**
 * The widget: status, since when, ALC's result or the last trouble, and what to do.
 *
 * Promises to load as soon as it is shown, again after each press on this record, and again when it is clicked.
 */
import {Badge, useAsyncCache, Widget} from "attio/client"
import {useEffect} from "react"
import getLead from "../../../connector/get-lead.server"
import {widgetWords} from "../../../words/leads"
import {onPress} from "../../presses"

export function AlcStatus({recordId}: {recordId: string}) {
    const {values, invalidate} = useAsyncCache({found: [getLead, recordId]})
    useEffect(() => onPress(recordId, () => invalidate("found")), [recordId, invalidate])
    const {badge, primary, secondary} = widgetWords(values.found, new Date())
    return (
        <Widget.TextWidget onTrigger={() => invalidate("found")}>
            <Widget.Title>ALC</Widget.Title>
            <Badge color={badge.color}>{badge.text}</Badge>
            <Widget.Text.Primary>{primary}</Widget.Text.Primary>
            <Widget.Text.Secondary>{secondary}</Widget.Text.Secondary>
        </Widget.TextWidget>
    )
}
