package main

// A row of the list of faults, with the tests that show it.
type row struct {
	id      string
	promise string
	// tests are a package's directory and a test of it, whose name begins with
	// "Test" and the row.
	tests []string
	// commands show what no test does.
	commands []command
	// missing is what of the row nothing shows, and why; alone, why nothing does.
	missing string
	// cannot is what of the row no machine for tests can show.
	cannot string
}

// foremost are the rows that are told once more at the end of a soak: those that
// are worth the most, and those that kill the meter.
func foremost() []string {
	return []string{"A1", "A2", "A5", "A11", "B1", "B9", "E1", "F1", "H2", "H4", "B2", "B3"}
}

// elsewhere is what no machine for tests can show, whatever the row.
const elsewhere = "real NICs (links that flap, many queues, VLAN tags stripped by hardware, LRO, a driver's own limits), " +
	"more than two CPUs, arm64, big-endian, line rate, suspend, kernels below 6.1"

// table is every row, in order.
func table() []row {
	var all []row
	for _, group := range [][]row{accounting(), lifeCycle(), process(), clocks(), files(), frames(), sinks(), security()} {
		all = append(all, group...)
	}
	return all
}

func accounting() []row {
	return []row{
		{id: "A1", promise: "a load of live frames leaves residual 0", tests: []string{"loader TestA1LoadOfLiveFramesLeavesNothing"}},
		{id: "A2", promise: "a sweep racing two writers loses nothing",
			tests: []string{"bpf TestA2SweepRacingTwoWritersLosesNothing", "bpf TestA2SplitsRacingSweepsKeepTheSequenceOfParts",
				"bpf TestA2EntriesThatChangeHandsKeepEveryPacket",
				"bpf TestA2VacantEntryIsOfThePacketThatInsertedIt"}},
		{id: "A3", promise: "two CPUs on one flow keep its sums",
			tests: []string{"bpf TestA3TwoWritersOfOneFlowKeepItsSums"}},
		{id: "A4", promise: "a full ring loses single packets only, each counted", tests: []string{
			"bpf TestA4FullRingLosesNoAggregatedFlow", "userspace TestA4FullRingLosesSinglePacketsOnlyAndIsCounted",
			"loader TestA4StoppedConsumerCostsSinglePacketsOnly"}},
		{id: "A5", promise: "a full table keeps established flows exact", tests: []string{
			"bpf TestA5FullTableTakesAFlowOnceASweepHasDeleted", "bpf TestA5FullTableIsTriedNowAndThenWhateverWasDeleted",
			"userspace TestA5FloodMakesRoomForItself", "userspace TestA5ASweepThatTheRingStopsIsOneSweep", "loader TestA5FloodOfRandomTuplesLeavesEstablishedFlowsExact"}},
		{id: "A6", promise: "a SYN flood closes half-open flows first, and takes no more memory than idle, the flows of nDPI aside", tests: []string{
			"bpf TestA6PressureClosesHalfOpenFlowsFirst", "loader TestA6FloodOfSYNsLeavesEstablishedFlowsExact",
			"userspace TestA6NoPacketOfAFloodAllocates",
			"cmd/weir TestA6FloodTakesOneCPUAndNoMoreMemoryThanItsBounds"}},
		{id: "A7", promise: "keys made to collide cost no more than others", tests: []string{
			"bpf TestA7TablesHaveSeedsOfTheirOwn", "bpf TestA7CollidingKeysCostTheKernelsTableNoMore",
			"userspace TestA7EveryTableHasASeedOfItsOwn", "userspace TestA7CollidingKeysCostTheGoTableNoMore"}},
		{id: "A8", promise: "10 M flows within bounds of memory and time", tests: []string{
			"bpf TestA8SweepByKeysComesToEveryEntry", "bpf TestA8SweepByTheIteratorComesToEveryEntry",
			"bpf TestA8SweepByKeysComesToWhatIsThereWhileOthersArriveAndGo", "bpf TestA8SweepOfAnEmptyTableHoldsNoCPUForLong",
			"userspace TestA8SweepOfATableWithFewFlowsIsByItsKeys",
			"loader TestA8SweepOfManyFlowsHoldsNoCPUForLong", "loader TestA8SoftInterruptsComeThroughASweep",
			"loader TestA8ManyFlowsTakeBoundedMemory"}},
		{id: "A9", promise: "offline memory is bounded, whatever the number of flows", tests: []string{
			"userspace TestA9FlowsBeyondTheLimitCloseTheOldest", "userspace TestA9MemoryIsFlatInTheLength",
			"cmd/weir TestA9FlowsThroughAPipeTakeBoundedMemory"}},
		{id: "A10", promise: "counters are wide enough", tests: []string{"bpf TestA10CountersDoNotWrap"}},
		{id: "A11", promise: "the network sees every frame unchanged", tests: []string{
			"bpf/differential TestA11EveryFrameOfEveryCapturePassesUnchanged", "loader TestA11FramesArriveUnchanged"}},
		{id: "A12", promise: "overhead is reported, not promised", commands: []command{overhead()}},
	}
}

func lifeCycle() []row {
	return []row{
		{id: "B1", promise: "kill -9 leaves nothing behind", tests: []string{
			"loader TestB1KillingAMeterLeavesNothingBehind", "cmd/weir TestB1KilledMeterLeavesNothing"}},
		{id: "B2", promise: "metering goes on while the meter is dead", tests: []string{
			"cmd/weir TestB2KilledPinnedMeterGoesOnAndIsAdopted", "cmd/weir TestB2KillsUnderLoadLoseNothing",
			"cmd/weir TestB2WhatIsNotSentIsToldOfTheFlowsThatAreConfirmed",
			"cmd/weir TestB2KilledDetachIsTakenUpByTheNext", "cmd/weir TestB2LabelledFlowsSurviveKillsToo"}},
		{id: "B3", promise: "killed during a start or an upgrade, the next start succeeds", tests: []string{
			"cmd/weir TestB3StartThatIsKilledNeverSpoilsTheNext", "cmd/weir TestB3UpgradeThatIsKilledLosesNothing"}},
		{id: "B4", promise: "pins of another layout are refused",
			tests: []string{"loader TestB4PinsOfAnotherLayoutAreNotRead"}},
		{id: "B5", promise: "a second meter is told who is the first",
			tests: []string{"cmd/weir TestB5SecondReaderIsRefusedAndTheNextGoesOn"}},
		{id: "B6", promise: "another XDP program is named and left alone",
			tests: []string{"loader TestB6AnotherXDPProgramIsNamedAndLeftAlone"}},
		{id: "B7", promise: "an interface deleted costs no flow, and is metered again when it returns", tests: []string{
			"loader TestB7InterfaceDeletedWhileObservedCostsNoFlow", "loader TestB7InterfaceThatReturnsIsObservedAgain",
			"cmd/weir TestB7MeterWaitsForItsInterfaceAndGoesOn", "cmd/weir TestB7ExitOnGoneEndsWithTheLastInterface",
			"cmd/weir TestB7PinnedMeterIsTakenUpWhenItsInterfaceHasReturned",
			"loader TestB7InterfaceDeletedInAnotherNamespaceIsNoticed", "loader TestB7InterfaceOfAPinnedMeterMayReturnWhileNobodyWatches",
			"loader TestB7AllFlowsOfAnInterfaceThatReturnsAreClosedFirst",
			"userspace TestB7EndOfAPointClosesItsFlowsAndNoOthers"}},
		{id: "B8", promise: "down, up, rename and move leave no gap", tests: []string{
			"loader TestB8InterfaceMayGoDownAndUpAndBeRenamed", "loader TestB8InterfaceMayMoveToAnotherNamespace",
			"cmd/weir TestB8StatusShowsTheNewName", "loader TestB8NewNameAndMoveAreToldAndLeaveNoGap"}},
		{id: "B9", promise: "the MTU stays the operator's", tests: []string{"loader TestB9MTUStaysTheOperators"}},
		{id: "B10", promise: "without native XDP it says so, and counts the same", tests: []string{
			"loader TestB10NativeXDPIsExact", "loader TestB10GenericXDPIsFallenBackToWithAWarning",
			"loader TestB10FramesThatArriveBecomeFlowsAtEveryHook"}},
		{id: "B11", promise: "an upgrade does not detach", tests: []string{"loader TestB11UpgradeMissesNoFrame"},
			cannot: "that attaching flaps a link: for want of a real NIC"},
		{id: "B12", promise: "every exit leaves nothing", tests: []string{"cmd/weir TestB12EveryExitLeavesNothing"}},
	}
}

func process() []row {
	return []row{
		{id: "C1", promise: "a signal drains, a second leaves at once", tests: []string{
			"cmd/weir TestC1SignalDrains", "cmd/weir TestC1SecondSignalLeavesAtOnceAndSaysWhatIsAbandoned",
			"cmd/weir TestC1SecondSignalEndsAConsumerThatIsStopped", "cmd/weir TestC1ConsumerDoesNotWaitForAParentThatIsStopped",
			"cmd/weir TestC1SecondSignalLeavesThoughAnOutputThatIsWaitedForIsStuck",
			"cmd/weir TestC1SignalsThatComeTogetherAreOneWish", "cmd/weir TestC1SignalToTheProcessAndToItsGroupEndsTheRunInOrder",
			"loader TestC1DrainOfManyFlows"}},
		{id: "C2", promise: "rotation neither loses nor repeats a record", tests: []string{
			"cmd/weir TestC2FilesRotatedOnSIGHUPHoldEveryFlowOnce", "userspace/sink TestC2RotationNeitherLosesNorRepeats",
			"userspace/sink TestC2QueuedFilesRotateWithoutLoss"}},
		{id: "C3", promise: "a reader that leaves ends the run in order",
			tests: []string{"cmd/weir TestC3LiveReaderThatLeavesEndsTheRunInOrder"}},
		{id: "C4", promise: "stopped and continued, as A4", tests: []string{
			"cmd/weir TestC4StoppedMeterMissesNothing", "cmd/weir TestC4StoppedMeterUnderLoadLosesSinglePacketsOnly"}},
		{id: "C5", promise: "a panic in a plug-in costs its feature only", tests: []string{
			"userspace TestC5PanicsOfAProgramsFunctionsCostTheirFeatureOnly", "userspace TestC5PanicsBesideALiveMeterCostTheirFeatureOnly",
			"userspace/sink TestC5PanicOfAColumnCostsItsValueOnly", "userspace/sink TestC5PanicOfAWriterIsAnErrorOfItsOutput",
			"dpi TestC5PanicsBesideAWorkerCostTheirFeatureOnly", "loader TestC5PanicOfWhoIsToldOfChangesCostsTheTellingOnly"}},
		{id: "C6", promise: "opening and closing leaks nothing",
			tests: []string{"loader TestC6OpeningAndClosingLeaksNothing", "loader TestC6WatchingLeaksNothing"}},
		{id: "C7", promise: "tight limits: it meters, or says why in a line", tests: []string{
			"cmd/weir TestC7TightLimitsAreMetOrSaid", "cmd/weir TestC7MemoryLimitIsMetOrSaid"}},
	}
}

func clocks() []row {
	return []row{
		{id: "D1", promise: "a wall clock set mid-flow moves no duration", tests: []string{"userspace TestD1WallClockSetMidFlow"}},
		{id: "D2", promise: "a time namespace moves no flow", tests: []string{"userspace TestD2TimeNamespaceMovesNoFlow"}},
		{id: "D3", promise: "expiry is neither early nor never", tests: []string{
			"userspace TestD3ExtremeTimeoutsExpireNeitherEarlyNorNever", "userspace TestD3SweepsAreNeitherEarlyNorLate"}},
		{id: "D4", promise: "times backwards follow their rule", tests: []string{
			"userspace TestD4TimesBackwardsInOneFlow", "userspace TestD4TheClockIsTheLatestTimeSeen",
			"userspace TestD4ShufflingWithinTheIdleTimeMovesNoPacket"}},
		{id: "D5", promise: "extreme times are clamped and counted", tests: []string{
			"userspace/pcapfile TestD5ExtremeTimesAreMetered", "userspace/pcapfile TestD5ExtremeTimesOfPcapAreMetered",
			"userspace/pcapfile TestD5TimesOutOfRangeAreClampedAndCounted", "cmd/weir TestD5TimesThatWereClampedAreTold"}},
	}
}

func files() []row {
	return []row{
		{id: "E1", promise: "a capture cut anywhere is damaged, or ends at a record", tests: []string{
			"userspace/pcapfile TestE1TenCapturesCutAtEveryOctet", "cmd/weir TestE1CutCapturesEndWithExitCode3",
			"userspace/pcapfile TestE1TruncationAtEveryOctet", "userspace/pcapfile TestE1TruncationOfCompressedCaptures"}},
		{id: "E2", promise: "hostile lengths allocate little", tests: []string{
			"userspace/pcapfile TestE2HostileLengthsAllocateLittle", "userspace/pcapfile TestE2HostileZstdWindow"}},
		{id: "E3", promise: "every kind of pcap counts as tcpdump does", tests: []string{
			"userspace/pcapfile TestE3PcapKinds", "userspace/pcapfile TestE3PcapSnapLengthBoundsNothing",
			"userspace/pcapfile TestE3CountsEqualTcpdumps"}},
		{id: "E4", promise: "every block of pcapng", tests: []string{
			"userspace/pcapfile TestE4PcapngBlocks", "userspace/pcapfile TestE4PcapngBlocksOfOtherTypesArePassedOver", "userspace/pcapfile TestE4PcapngSectionsForgetTheInterfacesAndByteOrderOfTheLast",
			"userspace/pcapfile TestE4PcapngSimplePacketsAreCutToTheSnapLength", "userspace/pcapfile TestE4ClockIsExactForEveryResolution"}},
		{id: "E5", promise: "every link type, or its status", tests: []string{
			"userspace/decode TestE5EveryLinkTypeIsReadOrIgnored", "userspace/decode TestE5DataFramesOf80211ShowTheirPacket",
			"userspace/decode TestE5PPPInEveryForm", "cmd/weir TestE5LinkTypesThatAreNotReadAreNamed"}},
		{id: "E6", promise: "octets are of the original length", tests: []string{
			"userspace/pcapfile TestE6OctetsAreOfTheOriginalLength", "userspace/pcapfile TestE6PcapOriginalLengthIsAtLeastTheCaptured"}},
		{id: "E7", promise: "runts, giants and lengths of 0 have the right octets",
			tests: []string{"userspace TestE7LengthsThatLieCountAsTheFrames"}},
		{id: "E8", promise: "whatever is no file has a defined result", tests: []string{
			"userspace/pcapfile TestE8OpenWhatCannotBeOpened", "userspace/pcapfile TestE8DirectoryAsStandardInput",
			"userspace/pcapfile TestE8FIFOIsReadAsItIsWritten", "userspace/pcapfile TestE8LivePipeIsNotHeldBack",
			"userspace/pcapfile TestE8StreamsTakeConstantMemory"}},
		{id: "E9", promise: "many files: the damaged are named, the rest complete", tests: []string{
			"cmd/weir TestE9DamagedFilesAmongManyAreNamed", "cmd/weir TestE9SeveralFilesAreOneInput"}},
		{id: "E10", promise: "no input makes a reader or decoder panic", tests: []string{
			"userspace/pcapfile FuzzReader", "userspace/decode FuzzDecode"}, commands: []command{fuzzing("FuzzReader"), fuzzing("FuzzDecode")}},
	}
}

func frames() []row {
	return []row{
		{id: "F1", promise: "the two parsers agree", tests: []string{
			"bpf/differential TestF1DecodersAgreeOnEveryFrame", "bpf/differential TestF1DecodersAgreeWithoutPerfmon",
			"tools/parsediff TestF1DecodersAgreeOnMutants"}},
		{id: "F2", promise: "the two meters agree", tests: []string{
			"bpf/differential TestF2MetersAgreeOnEveryCapture", "bpf/differential TestF2MetersAgreeWithoutPerfmon"}},
		{id: "F3", promise: "IPv4 options and bad header lengths", tests: []string{"userspace TestF3IPv4OptionsAndBadHeaderLengths"}},
		{id: "F4", promise: "fragments are never dropped", tests: []string{"userspace TestF4FragmentsAreNeverDropped"}},
		{id: "F5", promise: "IPv6 extension headers to the bound of 8", tests: []string{"userspace TestF5IPv6ExtensionsAreFollowedToEight"}},
		{id: "F6", promise: "VLAN stacks have both ends in the key", tests: []string{"userspace TestF6VLANStacksHaveBothTheirEndsInTheKey"}},
		{id: "F7", promise: "tunnels to four levels, and no further", tests: []string{
			"userspace TestF7TunnelsAreFollowedToFourLevels", "userspace TestF7TunnelsThatAreNotAskedForStayClosed"}},
		{id: "F8", promise: "TCP headers that contradict themselves", tests: []string{
			"userspace TestF8TCPHeadersThatContradictThemselves", "userspace TestF8EverySetOfTCPFlagsCounts"}},
		{id: "F9", promise: "what carries no IP is ignored by its class", tests: []string{"userspace TestF9WhatCarriesNoIPIsIgnoredByItsClass"}},
		{id: "F10", promise: "the verifier accepts every program within budget",
			tests: []string{"bpf TestF10VerifierAcceptsEveryProgramWithinBudget", "bpf TestF10ProgramsAsTheyRunAreWithinBudget"}},
		{id: "F11", promise: "a second kernel passes the same tests", commands: []command{secondKernel()}},
	}
}

func sinks() []row {
	return []row{
		{id: "G1", promise: "a full disk loses whole records, counted", tests: []string{
			"userspace/sink TestG1FileHoldsWholeRecordsWhenTheDiskIsFull", "cmd/weir TestG1FullDiskIsALossOfFlowsToThatOutputOnly",
			"userspace/sink TestG1WhatWaitsForSpaceIsWrittenWhenItReturns", "cmd/weir TestG1OutputGoesOnWhenSpaceReturns"}},
		{id: "G2", promise: "a slow sink is bounded and counted", tests: []string{
			"userspace/sink TestG2BufferStaysBoundedWhileNothingIsTaken", "userspace/sink TestG2WhatAnOutputRefusesIsCountedAndTheRestIsWritten",
			"userspace/sink TestG2PipeThatIsNotReadHoldsNothingUp", "cmd/weir TestG2SlowOutputCostsItsFlowsOnly",
			"cmd/weir TestG2SlowReaderCostsNoMemoryAndNoFrameUncounted"}},
		{id: "G3", promise: "a dead collector costs its flows only", tests: []string{
			"userspace/sink TestG3FlowsArriveInOrderEachOnce", "userspace/sink TestG3EachConnectionBeginsWithTheHeaderOfCSV",
			"userspace/sink TestG3NobodyListensCostsWhatFindsNoRoom", "userspace/sink TestG3ConnectionThatIsNeverAnsweredHoldsNothingUp",
			"userspace/sink TestG3ReaderThatLeavesAgainAndAgainMissesNothing", "userspace/sink TestG3ResetsAreFollowedByWhatWasNotTaken",
			"userspace/sink TestG3CollectorThatStallsHasWhatCountsAsSent", "userspace/sink TestG3CollectorThatComesLateGetsWhatWaited",
			"userspace/sink TestG3BurstOverUDPLeavesTheCollectorTime", "cmd/weir TestG3FullQueueOfAnInterfaceCostsNoFlows",
			"cmd/weir TestG3MessagesLongerThanThePathAreSentAgain", "cmd/weir TestG3RouterThatKnowsNoWayCostsWhatIsCounted",
			"userspace/sink TestG3FlowsArriveOverTLSInOrderEachOnce", "userspace/sink TestG3HandshakeThatFailsCostsWhatFindsNoRoom",
			"userspace/sink TestG3ResetsOfTLSAreFollowedByWhatWasNotTaken", "userspace/sink TestG3CollectorThatStallsHasWhatCountsAsSentOverTLS",
			"cmd/weir TestG3FlowsAreSentOverTLSFromTheSandbox", "cmd/weir TestG3CollectorThatIsNotTrustedGetsNothing",
			"cmd/weir TestG3DeadCollectorCostsItsFlowsOnly", "cmd/weir TestG3FlowsThatDidNotArriveStayWithAPinnedMeter",
			"userspace/sink TestG3TemplatesComeFirstOnEachConnection", "userspace/sink TestG3TemplatesAreSentAgainAfterMessages",
			"userspace/sink TestG3TemplatesAreSentAgainAfterTime", "userspace/sink TestG3CollectorOverUDPIsFoundAtAnyAddressOfItsName",
			"userspace/sink TestG3NobodyListensOverUDPCostsWhatFindsNoRoom",
			"userspace/sink TestG3CollectorThatComesLateOverUDPGetsWhatWaited", "userspace/sink TestG3TemplatesComeFirstOverTLS"}},
		{id: "G4", promise: "partial writes give the same octets", tests: []string{
			"userspace/sink TestG4PartialWritesGiveTheSameOctets", "userspace/sink TestG4PartialWritesGiveTheSameOctetsOverANetwork",
			"userspace/sink TestG4PartialWritesGiveTheSameOctetsOverTLS"}},
		{id: "G5", promise: "hostile text comes back as it was", tests: []string{
			"userspace/sink TestG5HostileTextComesBack", "userspace/sink TestG5OnlyWhatLooksLikeAFormulaIsGuarded",
			"userspace/sink TestG5NoTextCommandsATerminal", "userspace/summary TestG5NoTextCommandsATerminal"}},
		{id: "G6", promise: "a dead ring reader while pinned",
			tests: []string{"cmd/weir TestG6DeadReaderUnderLoadCostsSinglePacketsOnly"}},
		{id: "G7", promise: "records of another layout are refused", tests: []string{
			"userspace TestG7RingRecordsOfAnotherBuildAreRefused", "userspace TestG7ATableOfOtherGroupsIsRefused", "bpf TestG7EventsOfOtherGroupsAreRefused"}},
	}
}

func security() []row {
	return []row{
		{id: "H1", promise: "no more privilege than named is needed", tests: []string{
			"loader TestH1FewCapabilitiesAreEnoughToMeter", "loader TestH1MissingCapabilityIsNamed",
			"loader TestH1APinnedMeterChangesItsObjectWithItsPrivilege"}},
		{id: "H2", promise: "the consumer runs without privilege", tests: []string{
			"cmd/weir TestH2ConsumerHasNoPrivilegeAndMetersAllTheSame", "cmd/weir TestH2ConsumerThatIsTakenOverCanDoNothing",
			"cmd/weir TestH2ConsumerThatIsTakenOverReachesItsOutputsPortsOnly",
			"cmd/weir TestH2ConsumerOfAPinnedMeterCannotDetachIt", "cmd/weir TestH2ConsumerThatAsksAndDoesNotListenEndsTheMeterOnly"}},
		{id: "H3", promise: "the parent touches no input", tests: []string{
			"cmd/weir TestH3ParentOpensNothingAndMakesFewSystemCalls", "cmd/weir TestH3ParentOpensNothingWhenAnInterfaceReturns",
			"cmd/weir TestH3ParentKeepsTheCapabilitiesThatItHasUseFor"}},
		{id: "H4", promise: "nDPI may crash or hang: labels suffer, flows do not", tests: []string{
			"dpi TestH4CrashCostsLabelsNotFlows", "dpi TestH4HangIsEndedByTheWatchdog",
			"dpi TestH4CrashesAgainAndAgainDoNotHoldUpFlows", "dpi TestH4DeathOfNDPICostsLabelsNotFlows",
			"dpi TestH4AbortSpinAndAGigabyteCostLabelsNotFlows", "dpi TestH4SampleThatIsFatalTwiceIsQuarantined",
			"dpi TestH4ProcessIsBackWithinASecond"}},
		{id: "H5", promise: "nDPI's process can do nothing else", tests: []string{
			"dpi TestH5ProcessHasNoPrivileges", "dpi TestH5ProcessThatIsTakenOverCanDoNothing"}},
		{id: "H6", promise: "pins are for their group only", tests: []string{
			"loader TestH6PinsHaveTheirModes", "loader TestH6ReadersOfAPinnedMeterSweepIt", "loader TestH6PinsAreAGroups", "cmd/weir TestH6MemberOfTheGroupReadsAndNobodyElse", "cmd/weir TestH6GroupMayBeNamedInTheSandbox",
			"examples/pinnedflows TestH6UnprivilegedProgramReadsAPinnedMeterAlone"}},
		{id: "H7", promise: "the control socket refuses strangers and garbage", tests: []string{
			"cmd/weir TestH7StrangersAreNotAnswered", "cmd/weir TestH7ControlSocketAnswersOneQuestionAndClosesOnGarbage",
			"cmd/weir TestH7SilentConnectionsDoNotKeepOthersOut", "cmd/weir TestH7ConsumerWithoutPrivilegeAnswersTheGroup", "cmd/weir FuzzControlRequest"}},
		{id: "H8", promise: "programs call only allowed helpers", tests: []string{
			"bpf TestH8ProgramsCallOnlyAllowedHelpers", "bpf TestH8MapsHaveNoFlagsButThoseOnTheList"}},
		{id: "H9", promise: "the unit file is audited at 2.0 or less, and holds under systemd", tests: []string{
			"cmd/weir TestH9UnitFileIsAuditedAtTwoOrLess", "cmd/weir TestH9UnitsCommandRunsWithWhatTheUnitGrants",
			"tools/systemd TestH9UnitMetersUnderSystemd", "tools/systemd TestH9UnitIsNotActiveBeforeItMeters",
			"tools/systemd TestH9PinnedUnitIsRestartedWithoutLoss", "tools/systemd TestH9UnitIsChangedAsDocumented"}},
		{id: "H10", promise: "no payload on disk", tests: []string{
			"cmd/weir TestH10NoOutputHoldsPayload", "userspace TestH10SamplesAreCutToTheOctetsAskedFor",
			"dpi TestH10SamplesLeaveNothingInTheOutbox", "dpi/worker TestH10SamplesLeaveNothingInTheSession"}},
		{id: "H11", promise: "the object is what its sources give", tests: []string{"bpf TestH11HashesNameTheObjectAndItsLayout", "cmd/weir TestH11LedgerAndStatusNameTheObjectThatCounts"},
			commands: []command{rebuild()}},
		{id: "H12", promise: "logs hold no hostile octets and do not repeat", tests: []string{
			"cmd/weir TestH12WhatDoesNotPrintIsEscaped", "cmd/weir TestH12NamesOfFilesAreEscaped",
			"cmd/weir TestH12TheSameTroubleIsToldOnceAMinute", "cmd/weir TestH12FilesCannotFillTheLog"}},
		{id: "H13", promise: "state for labels is bounded", tests: []string{
			"dpi/worker TestH13FlowFedLeastRecentlyIsJudgedForTheBound", "dpi/worker TestH13VerdictsThatAreNotFetchedAreBounded",
			"dpi/worker TestH13MemoryOfFlowsIsBounded", "dpi TestH13WhatFlowsTakeIsGivenBack",
			"dpi TestH13FloodOfFlowsCostsLabelsNotFlows"}},
	}
}
