using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Writes a plan into the batch's buffers and uploads what the device does not have yet.</summary>
internal sealed class BatchBuilder(BatchBuffers buffers, Sampler sampler)
{
    /// <summary>Uploads the plan; afterwards the device can derive the step from its state.</summary>
    internal void Upload(StepPlan plan)
    {
        WriteSampling(plan);
        WriteStepRows(plan);
        plan.TokenIds.Span.CopyTo(buffers.StepIds.Host);
        buffers.StepIds.Upload(plan.TokenIds.Count);
        WriteUpdates(plan);
    }

    // Admissions only: how the new rows sample, and the tokens that they have already.
    private void WriteSampling(StepPlan plan)
    {
        foreach (ref readonly SamplingUpdate update in plan.SamplingUpdates.Span)
        {
            sampler.Settings.Set(update.Row, new SamplingSettings
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
                sampler.CountTokens(update.CountSlot, update.Tokens.Span, update.PromptLength);
            }
        }
    }

    private void WriteStepRows(StepPlan plan)
    {
        Span<int> rows = buffers.StepRows.Host;
        Span<int> samples = buffers.SampleRows.Host;
        int row = 0;
        int sample = 0;
        int token = 0;
        foreach (ref readonly StepRow step in plan.Rows.Span)
        {
            (rows[row], rows[row + 1], rows[row + 2], rows[row + 3]) = (step.Row, step.QueryLength, step.FirstId, 0);
            row += 4;
            token += step.QueryLength;
            for (int i = step.LogitCount; i > 0; i--)
            {
                // The token sampled from the last computed one stands at the position behind it.
                (samples[sample], samples[sample + 1], samples[sample + 2], samples[sample + 3]) = (token - i, step.Row, step.SequenceLength - i + 1, 0);
                sample += 4;
            }
        }

        buffers.StepRows.Upload(row);
        buffers.SampleRows.Upload(sample);
    }

    private void WriteUpdates(StepPlan plan)
    {
        Span<int> rows = buffers.RowUpdates.Host;
        int word = 0;
        foreach (ref readonly RowUpdate update in plan.RowUpdates.Span)
        {
            (rows[word], rows[word + 1], rows[word + 2], rows[word + 3]) = (update.Row, update.ComputedLength, update.LastToken, 0);
            word += 4;
        }

        buffers.RowUpdates.Upload(word);

        Span<int> tables = buffers.TableUpdates.Host;
        word = 0;
        foreach (ref readonly TableUpdate update in plan.TableUpdates.Span)
        {
            (tables[word], tables[word + 1], tables[word + 2], tables[word + 3]) = (update.Group, update.Row, update.Index, update.Block);
            word += 4;
        }

        buffers.TableUpdates.Upload(word);

        Span<int> copies = buffers.BlockCopies.Host;
        word = 0;
        foreach (ref readonly BlockCopy copy in plan.BlockCopies.Span)
        {
            (copies[word], copies[word + 1]) = (copy.Source, copy.Destination);
            word += 2;
        }

        buffers.BlockCopies.Upload(word);
    }

    /// <summary>Uploads the plan's logit edits and returns their tensors.</summary>
    internal (Tensor Positions, Tensor Values) UploadEdits(StepPlan plan)
    {
        int count = plan.LogitEdits.Count;
        buffers.EditPositions.EnsureCapacity(count * 2);
        buffers.EditValues.EnsureCapacity(count);
        Span<int> positions = buffers.EditPositions.Host;
        Span<float> values = buffers.EditValues.Host;
        for (int i = 0; i < count; i++)
        {
            ref readonly LogitEdit edit = ref plan.LogitEdits[i];
            (positions[2 * i], positions[(2 * i) + 1], values[i]) = (edit.LogitsRow, edit.TokenId, edit.Value);
        }

        buffers.EditPositions.Upload(count * 2);
        buffers.EditValues.Upload(count);
        return (
            Tensor.Matrix(buffers.EditPositions.Data, DataType.Int32, count, 2),
            Tensor.Vector(buffers.EditValues.Data, DataType.Float32, count));
    }
}
