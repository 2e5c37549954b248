package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const root = "../../deploy/"

// The image is made of nothing but the binary and what it needs, and is run by nobody in particular.
func TestDockerfile(t *testing.T) {
	f, err := os.Open(root + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("warnings: %v", parsed.Warnings)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	var user, entry, health bool
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User == "65532:65532"
		case *instructions.EntrypointCommand:
			entry = !c.PrependShell && slices.Equal(c.CmdLine, []string{"/gatehouse"})
		case *instructions.HealthCheckCommand:
			health = slices.Equal(c.Health.Test, []string{"CMD", "/gatehouse", "ready"})
		case *instructions.CopyCommand:
			if c.From != stages[0].Name {
				t.Errorf("the image takes files from %q", c.From)
			}
		}
	}
	if !user || !entry || !health {
		t.Errorf("user %v, entry point %v, health check %v", user, entry, health)
	}
}

// The compose file fits its schema and what it names exists.
func TestCompose(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-r", root+"compose", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	dir = filepath.Join(dir, "compose")
	os.RemoveAll(filepath.Join(dir, "secrets"))
	if out, err := exec.Command(filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := exec.Command(filepath.Join(dir, "secrets.sh")).CombinedOutput(); err == nil {
		t.Errorf("the secrets are made twice: %s", out)
	}
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gatehouse", "postgres", "redis"} {
		s, err := p.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range s.Secrets {
			text, err := os.ReadFile(p.Secrets[secret.Source].File)
			if err != nil || len(text) < 20 {
				t.Errorf("%s: secret %s: %v", name, secret.Source, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s listens on %q for everyone", name, port.HostIP)
			}
		}
	}
	s, _ := p.GetService("gatehouse")
	if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") {
		t.Error("the server may write or keeps capabilities")
	}
}

func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(root + "helm/gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	if err := chart.Validate(); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, values,
		chartutil.ReleaseOptions{Name: "auth", Namespace: "default", Revision: 1, IsInstall: true},
		chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Engine{Strict: true}.Render(chart, all)
}

// The chart refuses to render without what it needs, and renders objects that a cluster understands with what it is
// given.
func TestHelm(t *testing.T) {
	for _, missing := range []map[string]any{{}, {"publicURL": "https://auth.example.com"},
		{"existingSecret": "gatehouse"}} {
		if _, err := render(t, missing); err == nil {
			t.Errorf("rendered with %v", missing)
		}
	}
	for name, values := range map[string]map[string]any{
		"least": {"publicURL": "https://auth.example.com", "existingSecret": "gatehouse"},
		"all": {"publicURL": "https://auth.example.com", "existingSecret": "gatehouse", "replicas": 3,
			"metrics": map[string]any{"enabled": true}, "trustedProxies": []any{"10.0.0.0/8"},
			"env":              map[string]any{"GATEHOUSE_LOG_LEVEL": "info"},
			"imagePullSecrets": []any{map[string]any{"name": "registry"}},
			"nodeSelector":     map[string]any{"disk": "fast"},
			"tolerations":      []any{map[string]any{"key": "x", "operator": "Exists"}},
			"ingress": map[string]any{"enabled": true, "className": "nginx", "hosts": []any{"auth.example.com"},
				"annotations": map[string]any{"a": "b"},
				"tls":         []any{map[string]any{"secretName": "auth-tls", "hosts": []any{"auth.example.com"}}}}},
	} {
		files, err := render(t, values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kinds := map[string]int{}
		for path, text := range files {
			if strings.TrimSpace(text) == "" || strings.HasSuffix(path, "NOTES.txt") {
				continue
			}
			var head struct{ Kind string }
			if err := yaml.Unmarshal([]byte(text), &head); err != nil {
				t.Fatalf("%s: %v\n%s", path, err, text)
			}
			kinds[head.Kind]++
			into := map[string]any{"Deployment": &appsv1.Deployment{}, "Service": &corev1.Service{},
				"Ingress": &networkingv1.Ingress{}, "PodDisruptionBudget": &policyv1.PodDisruptionBudget{}}[head.Kind]
			if into == nil {
				t.Errorf("%s: kind %q", path, head.Kind)
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
				t.Errorf("%s: %v\n%s", path, err, text)
			}
			if d, ok := into.(*appsv1.Deployment); ok {
				c, pod := d.Spec.Template.Spec.Containers[0], d.Spec.Template.Spec
				if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem ||
					*c.SecurityContext.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken {
					t.Errorf("%s: the pod may do too much", path)
				}
				for k, v := range d.Spec.Selector.MatchLabels {
					if d.Spec.Template.Labels[k] != v {
						t.Errorf("%s: the selector misses its pods", path)
					}
				}
				seen := map[string]bool{}
				for _, e := range c.Env {
					if seen[e.Name] || !strings.HasPrefix(e.Name, "GATEHOUSE_") {
						t.Errorf("%s: the variable %s", path, e.Name)
					}
					seen[e.Name] = true
				}
			}
		}
		if want := map[string]int{"least": 3, "all": 4}[name]; len(kinds) != want {
			t.Errorf("%s: %v", name, kinds)
		}
	}
}
