package ndpi

// A Library is the libndpi that this program runs with.
type Library struct {
	// Version is the revision of the library that is loaded, as in "4.2.0" or
	// "4.8.0-4469-ae85ff1".
	Version string `json:"version"`
	// API is the number by which the library tells builds of itself apart. It
	// is no order.
	API uint16 `json:"api"`
	// BuiltMajor, BuiltMinor and BuiltAPI are those of the headers that weir was
	// built with.
	BuiltMajor int    `json:"built_major"`
	BuiltMinor int    `json:"built_minor"`
	BuiltAPI   uint16 `json:"built_api"`
	// ClientsAreJA4 tells whether Files.MaliciousClients has JA4, not JA3.
	ClientsAreJA4 bool `json:"clients_are_ja4"`
}

// Files are what the user knows beforehand, in the library's formats, by path;
// empty for none.
type Files struct {
	Protocols             string
	Categories            string
	RiskDomains           string
	MaliciousClients      string // JA3, or JA4: see Library.ClientsAreJA4
	MaliciousCertificates string
}

// Places are where the paths are, in the order of rules.Kind.
func (f *Files) Places() [5]*string {
	return [...]*string{&f.Protocols, &f.Categories, &f.RiskDomains, &f.MaliciousClients, &f.MaliciousCertificates}
}

// Paths are the paths in the same order.
func (f Files) Paths() (paths [5]string) {
	for i, p := range f.Places() {
		paths[i] = *p
	}
	return paths
}

// A Protocol is one that the library knows.
type Protocol struct {
	Name     string `json:"name"`
	Category string `json:"category"`
	Breed    string `json:"breed"`
}
