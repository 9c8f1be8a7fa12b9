"""The wire protocol as a document that programs read: AsyncAPI and JSON Schemas, made from the Structs."""
