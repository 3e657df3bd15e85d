using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Execution;

/// <summary>What a plan's rows become on their way to the device.</summary>
public sealed class BatchBuilderTests : IDisposable
{
    private const int Slots = 2;

    private readonly Device _device = Device.Create(DeviceKind.Cpu, 0, 1);
    private readonly StepReadback _readback;
    private readonly Sampler _sampler;
    private readonly BatchBuilder _builder;

    public BatchBuilderTests()
    {
        var shape = new BatchShape(MaxSeqs: 8, MaxTokens: 64, MaxLogits: 8, MaxBlocks: 16, BlockSize: 16);
        _readback = new StepReadback(_device, Slots, 8);
        _sampler = new Sampler(_device, 8, 100, _readback.OnDevice, Slots);
        _builder = new BatchBuilder(_device, shape, _sampler, Slots);
    }

    [Fact]
    public void K_and_V_are_settled_up_to_the_step_but_not_for_a_request_that_has_just_got_its_row()
    {
        var plan = new StepPlan(8, 64);
        plan.AddRow(new StepRow(3, 1, -1, 40, 1, -1));
        plan.AddRow(new StepRow(5, 1, 0, 33, 1, -1));
        plan.AddRow(new StepRow(1, 10, 1, 30, 1, -1));
        // It may share blocks that the third row fills in this very step.
        plan.RowUpdates.Add(new RowUpdate(5, 32, 0));
        Assert.Equal([[3, 1, -1, 39], [5, 1, 0, 0], [1, 10, 1, 20], [-1, 0, -1, 0]], RowsOf(plan, slot: 0, rows: 4));
        Assert.Equal(30, plan.MaxPrefillSequenceLength);

        // With the next step all of that has been written.
        plan.Clear();
        plan.AddRow(new StepRow(5, 1, -1, 34, 1, -1));
        Assert.Equal([[5, 1, -1, 33]], RowsOf(plan, slot: 1, rows: 1));
        Assert.Equal(0, plan.MaxPrefillSequenceLength);
    }

    public void Dispose()
    {
        _builder.Dispose();
        _sampler.Dispose();
        _readback.Dispose();
        _device.Dispose();
    }

    private unsafe int[][] RowsOf(StepPlan plan, int slot, int rows)
    {
        StepInputs step = _builder.Upload(plan, slot, rows);
        _device.Synchronize();
        nint data = step.StepRows.Data;
        return [.. Enumerable.Range(0, rows).Select(row => new ReadOnlySpan<int>((int*)data + (4 * row), 4).ToArray())];
    }
}
