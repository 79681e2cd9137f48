"""Who speaks on the network: a household and the operator. They move signed messages; nothing here clears."""
