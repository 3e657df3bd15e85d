using System.Diagnostics;
using System.Reflection;
using VllmNative.Bindings;
using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Steps;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Execution;

/// <summary>What plans do to blocks in host memory, and what results say of it.</summary>
public sealed class StepSwapTests
{
    private const int BlockSize = 8;
    private const int HostBlocks = 80;
    private const int PromptLength = 37;
    private const int PromptBlocks = 5;
    private const int OutputLength = 6;

    // Where the swapped sequence goes in host memory, and where it comes back to.
    private static readonly int[] AwayAt = [3, 4, 0, 79, 7];
    private static readonly int[] BackAt = [907, 901, 902, 903, 1023];

    // The step that swaps in may compute for others, or has no rows, and says so already whose row the blocks are.
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void A_sequence_that_was_swapped_out_and_in_goes_on_with_the_same_bits(bool beside, bool graphs)
    {
        float[] golden;
        using (ForwardHarness undisturbed = Harness(graphs))
        {
            undisturbed.Run(new ForwardHarness.Chunk(0, 0, Ids(1, PromptLength)));
            golden = Decode(undisturbed, row: 0);
        }

        using ForwardHarness harness = Harness(graphs);
        long blockBytes = harness.Runner.HostKv!.Group.BlockBytes;
        harness.Run(new ForwardHarness.Chunk(0, 0, Ids(1, PromptLength)));
        StepResult swapped = harness.Run(plan =>
        {
            AddSequence(plan, row: 1, firstBlock: 500, Ids(2, 20));
            Swap(plan, toHost: true, [1, 2, 3, 4, 5], AwayAt);
        });
        (long bytes, double seconds) = Await(harness, swapped);
        Assert.Equal(PromptBlocks * blockBytes, bytes);
        Assert.InRange(seconds, double.Epsilon, 30);

        // Others take the blocks that are free now, and the row.
        harness.Run(plan =>
        {
            AddSequence(plan, row: 0, firstBlock: 1, Ids(3, PromptBlocks * BlockSize));
            AddSequence(plan, row: 2, firstBlock: 901, Ids(4, 3 * BlockSize));
        });
        swapped = harness.Run(plan =>
        {
            Swap(plan, toHost: false, BackAt, AwayAt);
            plan.RowUpdates.Add(new RowUpdate(5, PromptLength, 0));
            for (int i = 0; i < PromptBlocks; i++)
            {
                plan.TableUpdates.Add(new TableUpdate(0, 5, i, BackAt[i]));
            }

            if (beside)
            {
                AddSequence(plan, row: 3, firstBlock: 510, Ids(5, 20));
            }
        });
        Assert.Equal(PromptBlocks * blockBytes, Await(harness, swapped).Bytes);
        Assert.Equal(golden, Decode(harness, row: 5));
    }

    [Fact]
    public void Steps_without_rows_move_blocks_out_before_they_move_others_in()
    {
        using ForwardHarness harness = Harness();
        HostKvPool host = harness.Runner.HostKv!;
        byte[] written = new byte[host.Group.BlockBytes];
        new Random(1).NextBytes(written);
        written.CopyTo(host.Block(9));

        StepResult result = harness.Run(plan => plan.BlockSwaps.Add(new BlockSwap(50, 9, ToHost: false)));
        Assert.Equal((1L, written.Length, true), (result.SwapsDone, result.SwapBytes, result.SwapSeconds > 0));
        result = harness.Run(plan => plan.BlockCopies.Add(new BlockCopy(50, 51)));
        Assert.Equal((2L, 0L, 0.0), (result.SwapsDone, result.SwapBytes, result.SwapSeconds));

        // Named first, the copy in reads what the copy out wrote; block 51 leaves before 10 takes its place.
        host.Block(11).Clear();
        result = harness.Run(plan =>
        {
            plan.BlockSwaps.Add(new BlockSwap(60, 12, ToHost: false));
            plan.BlockSwaps.Add(new BlockSwap(51, 12, ToHost: true));
            plan.BlockSwaps.Add(new BlockSwap(51, 11, ToHost: false));
        });
        Assert.Equal((3L, 3L * written.Length), (result.SwapsDone, result.SwapBytes));
        harness.Run(plan => Swap(plan, toHost: true, [60, 51], [0, 1]));
        Assert.True(host.Block(12).SequenceEqual(written));
        Assert.True(host.Block(0).SequenceEqual(written));
        Assert.False(host.Block(1).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Plans_that_only_move_blocks_are_not_empty()
    {
        var plan = new StepPlan(1, 1);
        Assert.True(plan.IsEmpty);
        plan.BlockCopies.Add(new BlockCopy(1, 2));
        Assert.False(plan.IsEmpty);
        plan.Clear();
        plan.BlockSwaps.Add(new BlockSwap(1, 2, ToHost: true));
        Assert.False(plan.IsEmpty);
    }

    [Fact]
    public void Copies_that_take_longer_than_their_step_are_reported_later_and_in_order()
    {
        using ForwardHarness harness = Harness();
        StepResult Step(int swaps, bool pending)
        {
            if (pending)
            {
                harness.Runner.Device.Inject("event_query", 1, "pending");
            }

            return harness.Run(plan =>
            {
                AddSequence(plan, row: 0, firstBlock: 1, Ids(1, 4));
                Swap(plan, toHost: true, [.. Enumerable.Range(100, swaps)], [.. Enumerable.Range(0, swaps)]);
            });
        }

        long bytes = harness.Runner.HostKv!.Group.BlockBytes;
        Assert.Equal((1L, 0L), Done(Step(0, pending: false)));
        Assert.Equal((1L, 0L), Done(Step(2, pending: true)));
        Assert.Equal((1L, 0L), Done(Step(0, pending: true)));
        // More at a time than were made beforehand.
        for (int i = 0; i < 6; i++)
        {
            Assert.Equal((1L, 0L), Done(Step(3, pending: true)));
        }

        // A step without rows waits for them, and asks no event.
        harness.Runner.Device.Inject("event_query", 1, "pending");
        Assert.Equal((10L, 20 * bytes), Done(harness.Run(plan => plan.BlockCopies.Add(new BlockCopy(1, 2)))));
        Assert.Equal((10L, 0L), Done(Step(1, pending: false)));
        Assert.Equal((12L, bytes), Done(harness.Run(_ => { })));

        static (long StepId, long Bytes) Done(StepResult result) => (result.SwapsDone, result.SwapBytes);
    }

    [Fact]
    public void Nothing_is_reported_before_the_step_that_asked_for_it()
    {
        using ForwardHarness harness = Harness();
        ModelRunner runner = harness.Runner;
        var plans = new StepPlan[2];
        for (int i = 0; i < 2; i++)
        {
            plans[i] = new StepPlan(1, 1) { StepId = i + 1 };
            plans[i].BlockSwaps.Add(new BlockSwap(i, i, ToHost: true));
            runner.Launch(plans[i], i % runner.MaxStepsInFlight);
        }

        var result = new StepResult(1);
        for (int i = 0; i < 2; i++)
        {
            runner.Complete(plans[i], result, i % runner.MaxStepsInFlight);
            Assert.Equal((i + 1L, runner.HostKv!.Group.BlockBytes), (result.SwapsDone, result.SwapBytes));
        }
    }

    [Theory]
    [InlineData("block_swap", 1, 0)]
    [InlineData("block_swap", 2, 0)]
    [InlineData("batch_prepare", 1, 2)]
    public void A_step_that_fails_reports_its_swaps_after_its_failure(string operation, int nth, int blocksMoved)
    {
        using var worker = new StepWorker(Runner(out ModelRunner runner));
        Assert.Equal((1L, null), Run(worker, 1, swaps: true, out StepResult result));
        runner.Device.Inject(operation, nth, "fail", (int)NativeStatus.Internal);
        (long done, Exception? failure) = Run(worker, 2, swaps: true, out result);
        Assert.Equal(1, done);
        Assert.Contains($"{operation}: injected failure", Assert.IsType<NativeException>(failure).Message, StringComparison.Ordinal);
        Assert.Equal((0L, 0.0), (result.SwapBytes, result.SwapSeconds));
        Assert.Equal((3L, null), Run(worker, 3, swaps: false, out result));
        Assert.Equal(blocksMoved * runner.HostKv!.Group.BlockBytes, result.SwapBytes);
        Assert.Equal((4L, null), Run(worker, 4, swaps: true, out _));
    }

    [Fact]
    public void Blocks_outside_the_pools_fail_their_step_only()
    {
        using var worker = new StepWorker(Runner(out _));
        var plan = new StepPlan(1, 1) { StepId = 1 };
        plan.BlockSwaps.Add(new BlockSwap(1, HostBlocks, ToHost: true));
        var result = new StepResult(1);
        worker.Submit(plan, result);
        Assert.True(worker.Collect(TimeSpan.FromSeconds(30)));
        Assert.Contains("destination block 80, expected 0..79", Assert.IsType<NativeException>(result.Failure).Message, StringComparison.Ordinal);
        Assert.Equal((2L, null), Run(worker, 2, swaps: true, out _));
    }

    [Fact]
    public void A_plan_that_swaps_without_swap_space_fails()
    {
        using var worker = new StepWorker(Runner(out _, hostBlocks: 0));
        (_, Exception? failure) = Run(worker, 1, swaps: true, out _);
        Assert.Equal("step 1 swaps 2 blocks, but there is no swap space", Assert.IsType<InvalidOperationException>(failure).Message);
        Assert.Equal((2L, null), Run(worker, 2, swaps: false, out _));
    }

    [Fact]
    public void A_device_lost_while_copies_are_asked_for_fails_the_step_as_lost()
    {
        Assert.SkipUnless(TestDevice.Kind == DeviceKind.Cpu, "it would take CUDA away from the other tests");
        using ForwardHarness harness = Harness();
        harness.Runner.Device.Inject("event_query", 1, "lost");
        var error = Assert.Throws<NativeException>(() => harness.Run(plan =>
        {
            AddSequence(plan, row: 0, firstBlock: 1, Ids(1, 4));
            plan.BlockSwaps.Add(new BlockSwap(9, 9, ToHost: true));
        }));
        Assert.Equal(NativeStatus.DeviceLost, error.Status);
        var result = new StepResult(1);
        harness.Runner.Fail(new StepPlan(1, 1) { StepId = 1 }, result, error);
        Assert.Equal((error, 0L), (result.Failure, result.SwapsDone));
    }

    [Fact]
    public void Host_blocks_lie_one_behind_the_other_and_have_no_neighbours_beyond()
    {
        using Device device = Device.Create(TestDevice.Kind, 0, threads: 1);
        using var host = new HostKvPool(device, new KvGroup(1, 2, 1, 4, 4, DataType.Float32), 3);
        Assert.Equal(64, host.Block(0).Length);
        host.Block(1).Fill(7);
        Assert.False(host.Block(0).ContainsAnyExcept((byte)0) || host.Block(2).ContainsAnyExcept((byte)0));
        Assert.Throws<ArgumentOutOfRangeException>(() => host.Block(3).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => host.Block(-1).Length);
    }

    [Fact]
    public void Steps_that_swap_allocate_nothing()
    {
        bool optimized = typeof(ModelRunner).Assembly.GetCustomAttribute<DebuggableAttribute>() is not { IsJITOptimizerDisabled: true };
        Assert.SkipUnless(optimized, "an unoptimized build boxes where an optimized one does not");
        using ForwardHarness harness = Harness();
        ModelRunner runner = harness.Runner;
        var plan = new StepPlan(1, 1);
        var result = new StepResult(1);
        plan.RowUpdates.Add(new RowUpdate(0, 5, 7));
        plan.TableUpdates.Add(new TableUpdate(0, 0, 0, 1));
        plan.AddRow(new StepRow(0, 1, -1, 6, 1, -1));
        for (int i = 0; i < 64; i++)
        {
            plan.BlockSwaps.Add(new BlockSwap(100 + i, i, ToHost: i % 2 == 0));
        }

        Run(300);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run(300);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Run(int steps)
        {
            for (int i = 0; i < steps; i++)
            {
                plan.StepId++;
                runner.Launch(plan, 0);
                runner.Complete(plan, result, 0);
            }
        }
    }

    private static ForwardHarness Harness(bool graphs = false, int hostBlocks = HostBlocks) =>
        new(TestAssets.Path("models", "tiny", "qwen3"), DataType.BFloat16, BlockSize, graphs: graphs, hostBlocks: hostBlocks);

    // Whoever takes the runner disposes it.
    private static ModelRunner Runner(out ModelRunner runner, int hostBlocks = HostBlocks) => runner = Harness(hostBlocks: hostBlocks).Runner;

    private static int[] Ids(int seed, int length) => [.. Enumerable.Range(0, length).Select(position => 3 + (((seed * 131) + (position * 17)) % 1500))];

    private static void Swap(StepPlan plan, bool toHost, int[] deviceBlocks, int[] hostBlocks)
    {
        foreach ((int device, int host) in deviceBlocks.Zip(hostBlocks))
        {
            plan.BlockSwaps.Add(new BlockSwap(device, host, toHost));
        }
    }

    // A sequence that nobody looks at, in adjacent blocks.
    private static void AddSequence(StepPlan plan, int row, int firstBlock, int[] ids)
    {
        plan.RowUpdates.Add(new RowUpdate(row, 0, 0));
        for (int i = 0; i * BlockSize < ids.Length; i++)
        {
            plan.TableUpdates.Add(new TableUpdate(0, row, i, firstBlock + i));
        }

        int first = plan.TokenIds.Count;
        plan.TokenIds.AddRange(ids);
        plan.AddRow(new StepRow(row, ids.Length, first, ids.Length, 0, -1));
    }

    // Runs steps of another row until the swaps of the last step are over.
    private static (long Bytes, double Seconds) Await(ForwardHarness harness, StepResult result)
    {
        long step = result.StepId;
        (long bytes, double seconds) = (result.SwapBytes, result.SwapSeconds);
        for (long last = result.SwapsDone; result.SwapsDone < step; last = result.SwapsDone)
        {
            harness.Run(plan => AddSequence(plan, row: 63, firstBlock: 600, Ids(9, 9)));
            Assert.InRange(result.SwapsDone, last, result.StepId);
            (bytes, seconds) = (bytes + result.SwapBytes, seconds + result.SwapSeconds);
        }

        return (bytes, seconds);
    }

    private static float[] Decode(ForwardHarness harness, int row)
    {
        List<float> logits = [];
        for (int i = 0; i < OutputLength; i++)
        {
            logits.AddRange(harness.Run(new ForwardHarness.Chunk(row, PromptLength + i, [Ids(1, PromptLength + i + 1)[^1]]))[0]);
        }

        return [.. logits];
    }

    private static (long Done, Exception? Failure) Run(StepWorker worker, long stepId, bool swaps, out StepResult result)
    {
        var plan = new StepPlan(1, 1) { StepId = stepId };
        if (swaps)
        {
            plan.BlockSwaps.Add(new BlockSwap(1, 1, ToHost: true));
            plan.BlockSwaps.Add(new BlockSwap(2, 2, ToHost: false));
        }

        result = new StepResult(1);
        worker.Submit(plan, result);
        Assert.True(worker.Collect(TimeSpan.FromSeconds(30)));
        return (result.SwapsDone, result.Failure);
    }
}
