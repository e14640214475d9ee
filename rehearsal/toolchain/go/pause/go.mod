module slm.local/pause

go 1.25.0
