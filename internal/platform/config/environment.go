package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

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
				text = strings.TrimSpace(string(b))
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

func setField(f reflect.Value, text string) error {
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
