package main

import (
	"strings"
	"testing"
	"time"
)

const stream = `{"Action":"build-output","ImportPath":"x","Output":"x.go:1: broken\n"}
{"Action":"output","Package":"m/gatehouse/a","Test":"TestGood","Output":"a secret of a good test\n"}
{"Action":"pass","Package":"m/gatehouse/a","Test":"TestGood","Elapsed":2}
{"Action":"pass","Package":"m/gatehouse/a","Test":"TestGood/part","Elapsed":9}
{"Action":"output","Package":"m/gatehouse/a","Test":"TestBad","Output":"why it failed\n"}
{"Action":"fail","Package":"m/gatehouse/a","Test":"TestBad","Elapsed":1}
{"Action":"skip","Package":"m/gatehouse/a","Test":"TestLater"}
{"Action":"output","Package":"m/gatehouse/a","Output":"FAIL\tm/gatehouse/a\t3.0s\n"}
{"Action":"fail","Package":"m/gatehouse/a","Elapsed":3}
not from go test
{"Action":"output","Package":"m/gatehouse/b","Test":"TestPanics","Output":"panic: the reason\n"}
{"Action":"output","Package":"m/gatehouse/b","Output":"FAIL\tm/gatehouse/b\t3.0s\n"}
{"Action":"fail","Package":"m/gatehouse/b","Elapsed":3}
`

func TestReport(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read("tests", strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	r.took("tests", 3*time.Second)
	r.summary(1)
	got := out.String()
	for _, want := range []string{"x.go:1: broken\n", "why it failed\n", "FAIL\tm/gatehouse/a\t3.0s\n",
		"not from go test\n", "panic: the reason\n",
		"2.0 s  a.TestGood (tests)\n", "3.0 s  tests\n", "\n2 passed, 1 failed, 1 skipped\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	for _, not := range []string{"a secret of a good test", "a.TestBad (tests)"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in:\n%s", not, got)
		}
	}
}
