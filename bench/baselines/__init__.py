"""Programs that figures stand beside: the bare framework, the bare libraries, and the straightforward way."""
