using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Turns a plan into what the device reads, and uploads it.</summary>
internal sealed class BatchBuilder : IDisposable
{
    private readonly Sampler _sampler;
    private readonly StepUpload _upload;
    private readonly LogitChangesUpload _changes;
    private readonly GivenIds _given;
    private readonly HostProcessors _processors;
    private readonly RequestedLogprobs _requested;
    private readonly bool[] _placed; // request rows that the plan being written gives to a request

    internal BatchBuilder(Device device, BatchShape shape, Sampler sampler, int slots)
    {
        _sampler = sampler;
        _placed = new bool[shape.MaxSeqs];
        _upload = new StepUpload(
            device,
            slots,
            shape.MaxSeqs * 4L,
            shape.MaxLogits * 4L,
            shape.MaxSeqs * 4L,
            shape.MaxTableUpdates * 4L,
            shape.MaxTableUpdates * 2L,
            shape.MaxTokens);
        _given = new GivenIds(device, slots, shape.MaxLogits);
        _changes = new LogitChangesUpload(device, slots, shape.MaxLogits);
        _processors = new HostProcessors(device, slots);
        _requested = new RequestedLogprobs(device, slots);
    }

    /// <summary>Bytes of device memory.</summary>
    internal long Bytes => _upload.Bytes;

    /// <summary>Where every step's rows lie, for recorded graphs.</summary>
    internal Tensor StepRows(int rows) => Matrix(_upload.First, rows, 4);

    /// <summary>Uploads the plan; afterwards the device can derive the step from its state.</summary>
    /// <param name="plan">The step.</param>
    /// <param name="slot">Which of the steps in flight.</param>
    /// <param name="rows">At least the plan's rows; rows beyond them are empty.</param>
    internal StepInputs Upload(StepPlan plan, int slot, int rows)
    {
        WriteSampling(plan, slot);
        _upload.Begin(slot);
        // First, because graphs were recorded with its address.
        Span<int> stepRows = _upload.Reserve(rows * 4, out nint stepRowsData);
        Span<int> sampleRows = _upload.Reserve(plan.NumLogits * 4, out nint sampleRowsData);
        WriteRows(plan, stepRows, sampleRows, _placed);
        Span<int> rowUpdates = _upload.Reserve(plan.RowUpdates.Count * 4, out nint rowUpdatesData);
        WriteRowUpdates(plan, rowUpdates);
        Span<int> tableUpdates = _upload.Reserve(plan.TableUpdates.Count * 4, out nint tableUpdatesData);
        WriteTableUpdates(plan, tableUpdates);
        Span<int> copies = _upload.Reserve(plan.BlockCopies.Count * 2, out nint copiesData);
        WriteCopies(plan, copies);
        Span<int> ids = _upload.Reserve(plan.TokenIds.Count, out nint idsData);
        plan.TokenIds.Span.CopyTo(ids);
        _upload.Send();
        return new StepInputs
        {
            StepRows = Matrix(stepRowsData, rows, 4),
            SampleRows = Matrix(sampleRowsData, plan.NumLogits, 4),
            RowUpdates = Matrix(rowUpdatesData, plan.RowUpdates.Count, 4),
            TableUpdates = Matrix(tableUpdatesData, plan.TableUpdates.Count, 4),
            BlockCopies = Matrix(copiesData, plan.BlockCopies.Count, 2),
            StepIds = Tensor.Vector(idsData, DataType.Int32, plan.TokenIds.Count),
        };
    }

    /// <summary>Uploads what the plan changes about logits.</summary>
    internal LogitChanges UploadChanges(StepPlan plan, int slot) => _changes.Upload(plan, slot);

    /// <summary>The ids that the plan gives; null when it gives none.</summary>
    internal GivenIds? GivenOf(StepPlan plan, int slot)
    {
        if (plan.GivenIds.Count == 0)
        {
            return null;
        }

        _given.Begin(slot);
        foreach (ref readonly GivenTokens given in plan.GivenIds.Span)
        {
            _given.Add(given.LogitsRow, given.Ids.Span);
        }

        return _given;
    }

    /// <summary>The callers' code that the plan runs on logits; null when it runs none.</summary>
    internal HostProcessors? ProcessorsOf(StepPlan plan, int slot)
    {
        _processors.Begin(plan, slot);
        return plan.ProcessorCalls.Count > 0 ? _processors : null;
    }

    /// <summary>Fetches the log-probabilities of tokens that the plan names; null when it names none.</summary>
    internal RequestedLogprobs? RequestedOf(StepPlan plan, int slot)
    {
        _requested.Begin(plan, slot);
        return plan.RequestedIds.Count > 0 ? _requested : null;
    }

    /// <summary>Adds to a completed step's result which processors failed, and log-probabilities of named tokens.</summary>
    internal void Report(StepPlan plan, int slot, StepResult result)
    {
        _processors.Report(plan, slot, result);
        _requested.Report(plan, slot, result);
    }

    public void Dispose()
    {
        _upload.Dispose();
        _given.Dispose();
        _processors.Dispose();
        _requested.Dispose();
        _changes.Dispose();
    }

    // Admissions only: how the new rows sample, and the tokens that they have already.
    private void WriteSampling(StepPlan plan, int slot)
    {
        foreach (ref readonly SamplingUpdate update in plan.SamplingUpdates.Span)
        {
            _sampler.Settings.Set(slot, update.Row, new SamplingSettings
            {
                Seed = update.Seed,
                Temperature = update.Temperature,
                TopP = update.TopP,
                MinP = update.MinP,
                TopK = update.TopK,
                PresencePenalty = update.PresencePenalty,
                FrequencyPenalty = update.FrequencyPenalty,
                RepetitionPenalty = update.RepetitionPenalty,
                CountSlot = update.CountSlot,
            });
            if (update.CountSlot >= 0)
            {
                _sampler.CountTokens(update.CountSlot, update.Tokens.Span, update.PromptLength);
            }
        }
    }

    private static void WriteRows(StepPlan plan, Span<int> rows, Span<int> samples, Span<bool> placed)
    {
        MarkPlaced(plan, placed, true);
        int row = 0;
        int sample = 0;
        int token = 0;
        foreach (ref readonly StepRow step in plan.Rows.Span)
        {
            // A request that has just got its row may share blocks which this very step fills for another one.
            int settled = placed[step.Row] ? 0 : step.SequenceLength - step.QueryLength;
            (rows[row], rows[row + 1], rows[row + 2], rows[row + 3]) = (step.Row, step.QueryLength, step.FirstId, settled);
            row += 4;
            token += step.QueryLength;
            for (int i = step.LogitCount; i > 0; i--)
            {
                // The token sampled from the last computed one stands at the position behind it. What is given is nobody's sample.
                int request = i > step.LogitCount - step.GivenCount ? -1 : step.Row;
                (samples[sample], samples[sample + 1], samples[sample + 2], samples[sample + 3]) = (token - i, request, step.SequenceLength - i + 1, 0);
                sample += 4;
            }
        }

        for (; row < rows.Length; row += 4)
        {
            (rows[row], rows[row + 1], rows[row + 2], rows[row + 3]) = (-1, 0, -1, 0);
        }

        MarkPlaced(plan, placed, false);
    }

    private static void MarkPlaced(StepPlan plan, Span<bool> placed, bool mark)
    {
        foreach (ref readonly RowUpdate update in plan.RowUpdates.Span)
        {
            placed[update.Row] = mark;
        }
    }

    private static void WriteRowUpdates(StepPlan plan, Span<int> words)
    {
        int word = 0;
        foreach (ref readonly RowUpdate update in plan.RowUpdates.Span)
        {
            (words[word], words[word + 1], words[word + 2], words[word + 3]) = (update.Row, update.ComputedLength, update.LastToken, 0);
            word += 4;
        }
    }

    private static void WriteTableUpdates(StepPlan plan, Span<int> words)
    {
        int word = 0;
        foreach (ref readonly TableUpdate update in plan.TableUpdates.Span)
        {
            (words[word], words[word + 1], words[word + 2], words[word + 3]) = (update.Group, update.Row, update.Index, update.Block);
            word += 4;
        }
    }

    private static void WriteCopies(StepPlan plan, Span<int> words)
    {
        int word = 0;
        foreach (ref readonly BlockCopy copy in plan.BlockCopies.Span)
        {
            (words[word], words[word + 1]) = (copy.Source, copy.Destination);
            word += 2;
        }
    }

    private static Tensor Matrix(nint data, int rows, int columns) => Tensor.Matrix(data, DataType.Int32, rows, columns);
}
