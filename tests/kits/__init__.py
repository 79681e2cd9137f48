"""What tests share: one folder, imported as tests.kits."""
