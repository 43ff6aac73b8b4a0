// Package guest is what the two sides of a test run in a virtual machine agree
// on: what is to be run there, and the lines that tell how far it is.
package guest

// A Plan is what init finds in its root directory: the modules to load, in
// order, and the tests to run.
type Plan struct {
	Modules []string // paths
	Tests   []Test
}

// A Test is one package's test binary.
type Test struct {
	Package string   // its import path
	Dir     string   // where it runs: its place in the checkout
	Command []string // the binary and its flags
}

// PlanPath is where the plan lies.
const PlanPath = "/plan.json"

// Mark begins each line on the console that is init's and no test's. After it
// comes one of the words, and what belongs to it.
const (
	Mark  = "weir-vm: "
	Start = "start" // import path
	Exit  = "exit"  // exit status of the package last started
	Fault = "fault" // why there can be no tests
	End   = "end"
)
