package node

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/knadh/koanf/v2"

	"github.com/gatehouse-auth/gatehouse/reference"
)

// maxLogo keeps pages light.
const maxLogo = 64 << 10

// parseDocs reads whose name, logo and hosts stand on the reference pages.
func parseDocs(k *koanf.Koanf) (b reference.Brand, err error) {
	b.Name = k.String("docs.name")
	for _, env := range []string{"sandbox", "live"} {
		text := k.String("docs.hosts." + env)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return b, fmt.Errorf("docs.hosts.%s: %q must be a URL without query or fragment, such as https://%s.api.example.com", env, text, env)
		}
		if b.Hosts == nil {
			b.Hosts = map[string]string{}
		}
		b.Hosts[env] = strings.TrimSuffix(text, "/")
	}
	path := k.String("docs.logo")
	if path == "" {
		return b, nil
	}
	if b.Logo, err = os.ReadFile(path); err != nil {
		return b, fmt.Errorf("docs.logo: %w", err)
	}
	if len(b.Logo) > maxLogo {
		return b, fmt.Errorf("docs.logo: %s is larger than %d KiB: a logo is shown 28 pixels high", path, maxLogo>>10)
	}
	switch b.Type = http.DetectContentType(b.Logo); {
	case b.Type == "image/png":
	case strings.HasSuffix(strings.ToLower(path), ".svg") && strings.Contains(string(b.Logo), "<svg"):
		b.Type = "image/svg+xml"
	default:
		return b, fmt.Errorf("docs.logo: %s is neither PNG nor SVG", path)
	}
	return b, nil
}
