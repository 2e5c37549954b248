package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/itsm-automation/gatehouse/internal/core/bom"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

// Setting is one key of the configuration, for the reference.
type Setting struct {
	Key      string // path in the file, with dots
	Variable string // environment variable
	Default  string
	Doc      string
	Secret   bool // the variable may also be given as *_FILE
}

var secretType = reflect.TypeFor[secret.Secret]()

// Settings lists every key, in order.
func Settings() []Setting {
	c := Default()
	var out []Setting
	walk(reflect.ValueOf(&c).Elem(), "", func(key string, f reflect.Value, doc string) {
		s := Setting{Key: key, Variable: variable(key), Doc: doc, Secret: isSecret(f.Type())}
		if !s.Secret && !f.IsZero() {
			s.Default = fmt.Sprint(f.Interface())
			if m, ok := f.Interface().(encoding.TextMarshaler); ok {
				b, _ := m.MarshalText()
				s.Default = string(b)
			}
		}
		out = append(out, s)
	})
	return out
}

func isSecret(t reflect.Type) bool {
	return t == secretType || (t.Kind() == reflect.Slice && t.Elem() == secretType)
}

func variable(key string) string {
	return "GATEHOUSE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func walk(v reflect.Value, prefix string, visit func(key string, f reflect.Value, doc string)) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := prefix + field.Tag.Get("yaml")
		if doc := field.Tag.Get("doc"); doc != "" {
			visit(key, v.Field(i), doc)
			continue
		}
		walk(v.Field(i), key+".", visit)
	}
}

// fromEnvironment sets what GATEHOUSE_* says. Lists are separated by commas; a secret may stand in the file that *_FILE
// names.
func fromEnvironment(c *Config, getenv func(string) string) []error {
	var faults []error
	walk(reflect.ValueOf(c).Elem(), "", func(key string, f reflect.Value, _ string) {
		name := variable(key)
		text := getenv(name)
		if isSecret(f.Type()) {
			if path := getenv(name + "_FILE"); path != "" {
				if text != "" {
					faults = append(faults, fmt.Errorf("%s and %s_FILE are both set: keep one", name, name))
					return
				}
				b, err := os.ReadFile(path)
				if err != nil {
					faults = append(faults, fmt.Errorf("%s_FILE: %w", name, err))
					return
				}
				text = strings.TrimSpace(bom.Skip(string(b)))
			}
		}
		if text == "" {
			return
		}
		if err := setField(f, text); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	})
	return faults
}

// notSettings are the variables of tests and measurements, and those that Kubernetes sets in every container for
// Services named gatehouse or gatehouse-redis: where it listens, in several ways.
var notSettings = regexp.MustCompile(`^GATEHOUSE_((TEST_.*|BENCH_.*|FAILPOINTS|FAULT_CLOCK)=|` +
	`([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)=|` +
	`([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://)`)

// Unknown tells which GATEHOUSE_* variables of an environment are no settings, nor among the known others: a misspelled
// one would be ignored in silence.
func Unknown(environ, others []string) error {
	known := slices.Clone(others)
	for _, s := range Settings() {
		known = append(known, s.Variable)
		if s.Secret {
			known = append(known, s.Variable+"_FILE")
		}
	}
	var faults []error
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "GATEHOUSE_") || notSettings.MatchString(line) || slices.Contains(known, name) {
			continue
		}
		near := slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
		fault := fmt.Errorf("%s: there is no such setting; the nearest is %s", name, near)
		if plain := strings.TrimSuffix(name, "_FILE"); plain != name && slices.Contains(known, plain) {
			fault = fmt.Errorf("%s: %s is no secret, and is not read from a file", name, plain)
		}
		faults = append(faults, fault)
	}
	return errors.Join(faults...)
}

// distance counts the letters to change, add or leave out until one name is the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func setField(f reflect.Value, text string) error {
	text = bom.Skip(text) // $(cat file) brings it along, and so does each file of several
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("must be a whole number")
		}
		f.SetInt(int64(n))
	case reflect.Slice:
		list := reflect.MakeSlice(f.Type(), 0, 4)
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
			item := reflect.New(f.Type().Elem()).Elem()
			if err := setField(item, strings.TrimSpace(part)); err != nil {
				return err
			}
			list = reflect.Append(list, item)
		}
		f.Set(list)
	default:
		return fmt.Errorf("cannot be set from the environment")
	}
	return nil
}
