//! News of changes, for whoever sends them on: nobody yet knows what happens inside but through this.
