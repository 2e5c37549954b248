package lines

var Short = 1

var Long = "a line that is longer than what the rule allows" + " and which could be broken at the plus" // want `1\d\d columns`

var Raw = `a long line with a raw string, which cannot be broken without changing what it says, so that it may be longer`

var Beside = "long code beside a raw string is long code: it must be broken all the same, however short" + `the raw` + "string is" + Raw // want `1\d\d columns`
