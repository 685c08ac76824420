import {Settings} from "attio/client"
import schema from "./schema"

export default Settings.defineWorkspacePage(schema, () => {
    const {Form, Section, TextInput} = Settings.useForm(schema)
    return (
        <Form>
            <Section
                title="ALC connector"
                description="Leave the address empty to use the connector that ALC was connected through."
            >
                <TextInput name="serviceUrl" label="Address" placeholder="https://connector.example.com" />
            </Section>
        </Form>
    )
})
