"""What homes and collectors share: typed requests, the journal, the list of collectors."""
